import gzip
import json
from pathlib import Path

import pytest

from archsmith.data.sources import (
    SourceFile,
    excluded,
    find_files,
    inspect,
    read_json_lines,
    read_text_file,
)
from archsmith.errors import CorpusError


@pytest.fixture
def tree(texts: Path) -> Path:
    for name in (
        "a.txt", "b.MD", "c.bin", ".hidden/x.txt", "lib/z.py", "lib/test/t.py", "lib/y.jsonl.gz",
        "lib/idlelib/idle_test/i.py", "lib/idlelib/run.py", "lib/test.py",
    ):  # fmt: skip
        (texts / name).parent.mkdir(parents=True, exist_ok=True)
        (texts / name).write_bytes(b"text")
    return texts


def names(tree: Path, *patterns: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in find_files(patterns, exclude=exclude, root=tree)]


def test_a_folder_stands_for_its_text_files_sorted(tree: Path) -> None:
    assert names(tree, ".") == [
        "a.txt", "b.MD", "lib/idlelib/idle_test/i.py", "lib/idlelib/run.py", "lib/test.py",
        "lib/test/t.py", "lib/y.jsonl.gz", "lib/z.py",
    ]  # fmt: skip


def test_a_named_file_is_read_whatever_its_ending(tree: Path) -> None:
    assert names(tree, "c.bin", "c.bin", "a.txt") == ["a.txt", "c.bin"]


def test_globs_take_files_at_any_depth(tree: Path) -> None:
    assert names(tree, "lib/**/t*.py") == ["lib/test.py", "lib/test/t.py"]
    assert names(tree, "*.[tb]*") == ["a.txt", "c.bin"]


def test_excluded_folders_and_files_are_left_out(tree: Path) -> None:
    kept = names(tree, "lib", exclude=("test/", "idlelib/idle_test", "*.jsonl.gz"))
    assert kept == ["lib/idlelib/run.py", "lib/test.py", "lib/z.py"]
    assert names(tree, "lib/**/*.py", exclude=("test/", "idlelib")) == ["lib/test.py", "lib/z.py"]


def test_the_place_of_the_corpus_itself_is_never_excluded(tree: Path) -> None:
    inside = tree / "lib" / "test"
    assert names(inside, ".", exclude=("test/",)) == ["t.py"]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("a/tests/b.py", "tests/", True),
        ("a/tests", "tests/", False),
        ("a/tests", "tests", True),
        ("a/b/c/d.py", "b/c", True),
        ("a/b/x/c/d.py", "b/c", False),
        ("a/b/x/c/d.py", "b/**/d.py", False),
        ("b/x/c/d.py", "b/**/d.py", True),
        ("a/b.min.js", "*.min.js", True),
    ],
)
def test_exclude_patterns(name: str, pattern: str, expected: bool) -> None:
    assert excluded(name, (pattern,)) is expected


def test_missing_files_say_where_they_were_looked_for(tree: Path) -> None:
    with pytest.raises(CorpusError, match=r"no\.txt: no such file or folder \(looked for /"):
        names(tree, "no.txt")
    with pytest.raises(CorpusError, match=r"\*\.csv: no file matches \(looked below"):
        names(tree, "*.csv")
    with pytest.raises(CorpusError, match=r"no text file in this folder.*\.py"):
        names(tree, "lib", exclude=("*",))


def test_bytes_that_are_not_utf8_are_counted(texts: Path) -> None:
    path = texts / "a.txt"
    path.write_bytes("\ufeffgrün \ufffd".encode() + b"\xe9\xff" + "戦".encode()[:2])
    [chunk, *rest] = read_text_file(SourceFile(path, "a.txt"))
    text = chunk.text + "".join(each.text for each in rest)
    assert text == "grün \ufffd\ufffd\ufffd\ufffd\ufffd"
    assert sum(each.replaced_bytes for each in (chunk, *rest)) == 4


def test_inspection_finds_binary_and_damaged_files(texts: Path) -> None:
    packed = gzip.compress(b"hello" * 1000)
    for name, data in {"ok.gz": packed, "cut.gz": packed[:20], "no.gz": b"x", "b": b"\0"}.items():
        (texts / name).write_bytes(data)
    states = {name: inspect(SourceFile(texts / name, name)) for name in ("ok.gz", "cut.gz", "b")}
    assert states["ok.gz"] == (5000, False, "")
    assert states["cut.gz"].unreadable
    assert inspect(SourceFile(texts / "no.gz", "no.gz")).unreadable
    assert states["b"].binary


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"txt": "a", "id": 1}', "rows.jsonl:2: the field 'text' is missing; fields there: 'txt'"),
        ('{"text": 5}', "rows.jsonl:2: the field 'text' holds int, not text"),
        ("[1]", "rows.jsonl:2: expected a JSON object with the field 'text', got list"),
        ('{"text": ', "rows.jsonl:2: not a JSON object"),
    ],
)
def test_a_wrong_record_is_named_by_its_line(texts: Path, line: str, message: str) -> None:
    path = texts / "rows.jsonl"
    path.write_text(json.dumps({"text": "fine"}) + "\n" + line + "\n")
    with pytest.raises(CorpusError) as caught:
        list(read_json_lines(SourceFile(path, "rows.jsonl"), "text"))
    assert message in str(caught.value)

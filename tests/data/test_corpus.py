import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.split_writer import SplitWriter
from archsmith.data.splits import recommended_fraction
from archsmith.errors import ConfigError, CorpusError, MissingExtraError

TEN_PERCENT = {"validation_fraction": 0.1, "test_fraction": 0.1, "minimum_split_bytes": 1}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def everything(corpus: Corpus) -> list[str]:
    return [text for split in Split for text in corpus.documents(split)]


def home(corpus: Corpus) -> dict[str, Split]:
    return {text: split for split in Split for text in corpus.documents(split)}


def test_all_text_is_in_exactly_one_split(small_corpus: Corpus) -> None:
    root = small_corpus.directory.parent
    given = [path.read_text() for path in [root / "long.txt", *(root / "notes").iterdir()]]
    paragraphs = sorted(p for text in given for p in text.split("\n\n") if p)
    kept = sorted(p for text in everything(small_corpus) for p in text.split("\n\n") if p)
    assert kept == paragraphs
    for split in Split:
        texts = list(small_corpus.documents(split))
        assert small_corpus.split_bytes(split) == sum(len(text.encode()) for text in texts) > 1024
        assert small_corpus.split_documents(split) == len(texts)


def test_it_is_made_again_only_when_inputs_change(texts: Path, make_text: Callable) -> None:
    for number in range(40):
        write(texts / f"{number}.txt", make_text(300, seed=number))
    config = CorpusConfig(files=("texts",), **TEN_PERCENT)
    stages: list[str] = []

    def prepare(config: CorpusConfig) -> Corpus:
        stages.clear()
        return Corpus.prepare(
            config,
            texts.parent / "out",
            root=texts.parent,
            progress=lambda stage, fraction: stages.append(stage),
        )

    first = prepare(config)
    assert stages
    again = prepare(config)
    assert not stages
    assert again.hash == first.hash == Corpus.open(texts.parent / "out").hash
    assert again.report == first.report
    write(texts / "new.txt", make_text(300, seed=99))
    changed = prepare(config)
    assert stages
    assert changed.hash != first.hash
    (texts / "new.txt").unlink()
    assert prepare(config).hash == first.hash  # the hash is that of the text


def test_a_damaged_folder_is_noticed_and_made_again(texts: Path, make_text: Callable) -> None:
    for number in range(40):
        write(texts / f"{number}.txt", make_text(300, seed=number))
    config = CorpusConfig(files=(str(texts),), **TEN_PERCENT)
    first = Corpus.prepare(config, texts.parent / "out")
    train = texts.parent / "out" / "train.jsonl"
    content = train.read_bytes()
    train.write_bytes(content[:-10])
    with pytest.raises(CorpusError, match="damaged"):
        Corpus.open(texts.parent / "out")
    assert Corpus.prepare(config, texts.parent / "out").hash == first.hash
    assert train.read_bytes() == content


def test_a_document_never_moves_when_others_are_added(texts: Path, make_text: Callable) -> None:
    for number in range(0, 80, 2):
        write(texts / f"{number:02d}.txt", make_text(200, seed=number))
    config = CorpusConfig(files=("texts",), cut_above_bytes=4096, **TEN_PERCENT)
    before = home(Corpus.prepare(config, texts.parent / "a", root=texts.parent))
    for number in range(1, 80, 2):
        write(texts / f"{number:02d}.txt", make_text(200, seed=number))
    after = home(Corpus.prepare(config, texts.parent / "b", root=texts.parent))
    assert len(after) == 80
    assert {text: after[text] for text in before} == before
    assert set(before.values()) == set(Split)


def test_text_added_to_a_long_file_moves_only_its_neighbourhood(
    texts: Path, make_text: Callable
) -> None:
    long = make_text(120_000)
    config = CorpusConfig(
        files=("texts",),
        cut_above_bytes=4096,
        piece_bytes=1024,
        near_duplicates=False,
        **TEN_PERCENT,
    )

    def paragraphs(name: str) -> dict[str, Split]:
        corpus = Corpus.prepare(config, texts.parent / name, root=texts.parent)
        return {
            paragraph: split
            for split in Split
            for text in corpus.documents(split)
            for paragraph in text.split("\n\n")
        }

    write(texts / "long.txt", long)
    before = paragraphs("a")
    write(texts / "long.txt", make_text(500, seed=7) + long)
    after = paragraphs("b")
    moved = sum(after[paragraph] != split for paragraph, split in before.items())
    assert moved / len(before) < 0.02


def test_damaged_inputs_are_counted_and_never_stop_it(texts: Path, make_text: Callable) -> None:
    for number in range(30):
        write(texts / f"good{number}.txt", make_text(300, seed=number))
    (texts / "latin.txt").write_bytes(b"caf\xe9 cr\xe8me " * 20)
    (texts / "empty.txt").write_bytes(b"")
    (texts / "blank.md").write_text("  \n\n")
    (texts / "binary.txt").write_bytes(b"ab\0cd")
    write(texts / "zcopy.txt", make_text(300, seed=3))
    write(texts / "znear.txt", make_text(300, seed=4).replace("a", "e", 1))
    whole = gzip.compress(make_text(5000, seed=77).encode())
    (texts / "broken.txt.gz").write_bytes(whole[: len(whole) // 2])
    (texts / "packed.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa packed text"))
    (texts / "surrogate.jsonl").write_text(json.dumps({"text": "half \ud800 a pair"}))
    config = CorpusConfig(files=("texts",), **TEN_PERCENT)
    corpus = Corpus.prepare(config, texts.parent / "out", root=texts.parent)
    report = corpus.report
    assert report.replaced_bytes == 41
    assert report.empty == 2
    assert report.binary == 1
    assert (report.unreadable, report.unreadable_files) == (1, ("texts/broken.txt.gz",))
    assert (report.exact_duplicates, report.near_duplicates) == (1, 1)
    kept = everything(corpus)
    assert len(kept) == report.documents == 33
    assert "a packed text" in kept
    assert "half \ufffd a pair" in kept
    assert any("near-duplicates left out" in line for line in report.lines())
    assert not any("not fully checked" in line for line in report.lines())


def test_near_duplicates_can_be_kept(texts: Path, make_text: Callable) -> None:
    for number in range(30):
        write(texts / f"{number}.txt", make_text(300, seed=number))
        write(texts / f"{number}b.txt", make_text(300, seed=number).replace("a", "e", 1))
    counts = {}
    for wanted in (True, False):
        config = CorpusConfig(files=("texts",), near_duplicates=wanted, **TEN_PERCENT)
        corpus = Corpus.prepare(config, texts.parent / str(wanted), root=texts.parent)
        counts[wanted] = corpus.report.documents
    assert counts == {True: 30, False: 60}


def test_declared_separators_cut_a_long_file(texts: Path, make_text: Callable) -> None:
    stories = [make_text(700, seed=number) for number in range(150)]
    write(texts / "stories.txt", "<|endoftext|>".join(stories))
    config = CorpusConfig(files=("texts",), piece_bytes=8192, **TEN_PERCENT)
    corpus = Corpus.prepare(config, texts.parent / "out", root=texts.parent)
    assert sorted(everything(corpus)) == sorted(stories)


def test_neighbouring_pieces_of_one_split_stay_one_document(
    texts: Path, make_text: Callable
) -> None:
    long = make_text(150_000)
    write(texts / "long.txt", long)
    config = CorpusConfig(files=("texts",), near_duplicates=False, **TEN_PERCENT)
    corpus = Corpus.prepare(config, texts.parent / "out", root=texts.parent)
    assert all(text in long for text in everything(corpus))
    pieces = len(long.encode()) / 2048
    assert corpus.split_documents(Split.TRAIN) < pieces / 2


def test_official_splits_are_honoured(texts: Path, make_text: Callable) -> None:
    for number in range(30):
        write(texts / "train" / f"{number}.txt", make_text(300, seed=number))
    valid, test = make_text(4001, seed=100), make_text(3000, seed=101)
    write(texts / "valid.txt", valid)
    write(texts / "test.txt", test)
    write(texts / "train" / "leak.txt", test)
    config = CorpusConfig(
        files=("texts",),
        validation_files=("texts/valid.txt",),
        test_files=("texts/test.txt",),
        cut_above_bytes=1 << 20,
        minimum_split_bytes=1,
    )
    corpus = Corpus.prepare(config, texts.parent / "out", root=texts.parent)
    assert list(corpus.documents(Split.TEST)) == [test]
    [search], [selection] = (corpus.documents(s) for s in (Split.SEARCH, Split.SELECTION))
    assert search + selection == valid
    assert search.endswith("\n\n")
    assert abs(len(search.encode()) - len(selection.encode())) < 1000
    assert corpus.split_documents(Split.TRAIN) == 30
    assert corpus.report.exact_duplicates == 1  # training text that repeats the test goes


def test_a_continuous_corpus_keeps_every_byte(texts: Path, make_text: Callable) -> None:
    streams = {
        name: make_text(num_bytes) * 2 + " <|endoftext|> \n \n"
        for name, num_bytes in {"train": 90_000, "valid": 30_000, "test": 20_000}.items()
    }
    for name, stream in streams.items():
        write(texts / f"{name}.txt", stream)
    config = CorpusConfig(
        files=("texts/train.txt",),
        validation_files=("texts/valid.txt",),
        test_files=("texts/test.txt",),
        continuous=True,
    )
    corpus = Corpus.prepare(config, texts.parent / "out", root=texts.parent)
    read = {split: "".join(corpus.documents(split)) for split in Split}
    assert read[Split.TRAIN] == streams["train"]
    assert read[Split.TEST] == streams["test"]
    assert read[Split.SEARCH] + read[Split.SELECTION] == streams["valid"]
    assert read[Split.SEARCH].endswith("\n\n")


def test_continuous_needs_official_splits(texts: Path) -> None:
    write(texts / "a.txt", "text")
    config = CorpusConfig(files=("texts",), validation_files=("texts/a.txt",), continuous=True)
    with pytest.raises(ConfigError, match=r"test text is missing: give validation_files and test"):
        Corpus.prepare(config, texts.parent / "out", root=texts.parent)


def test_too_small_a_corpus_says_what_would_work(texts: Path, make_text: Callable) -> None:
    write(texts / "a.txt", make_text(150_000))
    config = CorpusConfig(files=("texts",))
    out = texts.parent / "out"
    with pytest.raises(CorpusError) as caught:
        Corpus.prepare(config, out, root=texts.parent)
    message = str(caught.value)
    assert "each needs 8,192 bytes" in message
    assert "set validation_fraction = 0.15 and test_fraction = 0.15" in message
    assert not list(out.iterdir())
    larger = CorpusConfig(files=("texts",), validation_fraction=0.15, test_fraction=0.15)
    assert Corpus.prepare(larger, out, root=texts.parent).split_bytes(Split.TEST) >= 8192
    write(texts / "a.txt", "short")
    with pytest.raises(CorpusError, match=r"give at least 106\.7 KiB of text"):
        Corpus.prepare(config, out, root=texts.parent)


def test_the_recommended_fraction_suits_the_size() -> None:
    assert recommended_fraction(100_000_000) == 0.02
    assert recommended_fraction(1_000_000) == 0.04
    assert recommended_fraction(1000) == 0.15


def test_a_full_disk_is_one_clear_sentence(
    texts: Path, make_text: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(texts / "a.txt", make_text(50_000))
    out = texts.parent / "out"

    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SplitWriter, "flush", full)
    with pytest.raises(ConfigError, match="out: cannot be written: No space left on device; choo"):
        Corpus.prepare(CorpusConfig(files=("texts",)), out, root=texts.parent)
    assert not list(out.iterdir())


def test_an_unwritable_place_is_one_clear_sentence(texts: Path, make_text: Callable) -> None:
    write(texts / "a.txt", make_text(50_000))
    with pytest.raises(ConfigError, match="cannot be written"):
        Corpus.prepare(CorpusConfig(files=(str(texts),)), texts / "a.txt" / "out")


def test_a_failed_change_of_settings_leaves_the_old_corpus(
    texts: Path, make_text: Callable
) -> None:
    for number in range(40):
        write(texts / f"{number}.txt", make_text(300, seed=number))
    out = texts.parent / "out"
    first = Corpus.prepare(CorpusConfig(files=(str(texts),), **TEN_PERCENT), out)
    with pytest.raises(CorpusError, match="too small"):
        Corpus.prepare(CorpusConfig(files=(str(texts),)), out)
    assert Corpus.open(out).hash == first.hash


def test_a_process_killed_while_it_prepares_does_no_harm(texts: Path, make_text: Callable) -> None:
    for number in range(40):
        write(texts / f"{number}.txt", make_text(300, seed=number))
    out = texts.parent / "out"
    script = f"""
import os, signal
from pathlib import Path
from archsmith.data.corpus import Corpus, CorpusConfig

def die(stage, fraction):
    if fraction > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)

Corpus.prepare(CorpusConfig(files=({str(texts)!r},)), Path({str(out)!r}), progress=die)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(out.iterdir())) == 4  # the unfinished splits
    with pytest.raises(CorpusError, match="no prepared corpus here"):
        Corpus.open(out)
    corpus = Corpus.prepare(CorpusConfig(files=(str(texts),), **TEN_PERCENT), out)
    assert corpus.report.documents == 40
    assert len(list(out.iterdir())) == 5


def test_leftovers_of_a_killed_process_are_removed(texts: Path, make_text: Callable) -> None:
    for number in range(40):
        write(texts / f"{number}.txt", make_text(300, seed=number))
    out = texts.parent / "out"
    dead = out / f".partial-{socket.gethostname()}-{2**22 + 1}-train.jsonl"
    alive = out / f".partial-{socket.gethostname()}-{os.getppid()}-train.jsonl"
    foreign = out / ".partial-elsewhere-1-train.jsonl"
    for path in (dead, alive, foreign):
        write(path, "half")
    Corpus.prepare(CorpusConfig(files=(str(texts),), **TEN_PERCENT), out)
    assert (dead.exists(), alive.exists(), foreign.exists()) == (False, True, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "name the text"),
        ({"files": ("a",), "separators": ("",)}, "a separator must not be empty"),
        ({"files": ("a",), "validation_fraction": 0.5}, "less than or equal to 0.3"),
        ({"files": ("a",), "text_feild": "b"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorpusConfig(**settings)


def test_one_file_or_data_set_may_be_written_without_a_list() -> None:
    config = CorpusConfig(files="notes", dataset="wikitext")  # type: ignore[arg-type]
    assert config.files == ("notes",)
    assert config.dataset is not None
    assert config.dataset.name == "wikitext"


class FakeHub:
    """Stands for the `datasets` package."""

    def __init__(self, splits: dict[str, list[dict[str, str]]]) -> None:
        self.splits = splits
        self.asked: list[tuple[Any, ...]] = []

    def load_dataset(self, name: str, config: str | None, *, revision: str | None) -> Any:
        self.asked.append((name, config, revision))
        if name == "missing":
            raise FileNotFoundError("no such data set")
        return self.splits


def test_a_hub_data_set_with_its_own_splits(
    tmp_path: Path, make_text: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": make_text(300, seed=number)} for number in range(40)]
    hub = FakeHub({"train": rows[:30], "validation": rows[30:36], "test": rows[36:]})
    monkeypatch.setitem(sys.modules, "datasets", hub)
    dataset = {"name": "stories", "config": "small", "revision": "v1"}
    config = CorpusConfig(dataset=dataset, minimum_split_bytes=1)  # type: ignore[arg-type]
    corpus = Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    assert hub.asked == [("stories", "small", "v1")]
    assert list(corpus.documents(Split.TEST)) == [row["text"] for row in rows[36:]]
    assert list(corpus.documents(Split.TRAIN)) == [row["text"] for row in rows[:30]]
    Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    assert len(hub.asked) == 1  # prepared: the Hub is not asked again


def test_a_hub_data_set_that_fails_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub({"training": [{"text": "a"}]})
    monkeypatch.setitem(sys.modules, "datasets", hub)
    with pytest.raises(CorpusError, match="'missing' cannot be loaded: FileNotFoundError: no such"):
        Corpus.prepare(CorpusConfig(dataset="missing"), tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="no split 'train'; did you mean 'training'"):
        Corpus.prepare(CorpusConfig(dataset="named"), tmp_path / "out")  # type: ignore[arg-type]
    hub.splits = {"train": [{"txt": "a"}]}
    with pytest.raises(CorpusError, match="row 0: the field 'text' is missing; fields there: 'txt"):
        Corpus.prepare(CorpusConfig(dataset="named"), tmp_path / "out")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'archsmith\[hf\]'"):
        Corpus.prepare(CorpusConfig(dataset="named"), tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_data_set_saved_on_disk(tmp_path: Path, make_text: Callable) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"body": [make_text(300, seed=number) for number in range(40)]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    config = CorpusConfig(dataset="saved", text_field="body", **TEN_PERCENT)  # type: ignore[arg-type]
    corpus = Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    assert sorted(everything(corpus)) == sorted(rows["body"])


def test_memory_does_not_grow_with_the_text(texts: Path, make_text: Callable) -> None:
    config = CorpusConfig(files=("texts",), cut_above_bytes=65536, near_duplicates=False)
    peaks = []
    paragraphs = make_text(300_000)
    for copies in (10, 40):
        with (texts / "long.txt").open("w", encoding="utf-8") as file:
            for number in range(copies):
                file.write(paragraphs.replace("ka", f"k{number}"))
        tracemalloc.start()
        Corpus.prepare(config, texts.parent / str(copies), root=texts.parent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_continuous_real_corpus(real_texts: Path, tmp_path: Path) -> None:
    folder = real_texts / "wikitext2"
    config = CorpusConfig(
        files=(str(folder / "train.txt.gz"),),
        validation_files=(str(folder / "valid.txt.gz"),),
        test_files=(str(folder / "test.txt.gz"),),
        continuous=True,
    )
    corpus = Corpus.prepare(config, tmp_path / "out")
    with gzip.open(folder / "test.txt.gz", "rt", encoding="utf-8", newline="") as file:
        assert "".join(corpus.documents(Split.TEST)) == file.read()
    halves = corpus.split_bytes(Split.SEARCH), corpus.split_bytes(Split.SELECTION)
    assert sum(halves) == 1_121_681
    assert abs(halves[0] - halves[1]) < 5000

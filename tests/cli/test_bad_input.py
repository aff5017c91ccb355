"""What bad input gets: one sentence, the documented exit code, nothing overwritten or lost."""

import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from helpers_workflow import FinishedSearch, archsmith_here, make_search, write_notes

OLD_STORE = Path(__file__).parents[1] / "store" / "fixtures" / "schema_0001.sql"


@pytest.fixture
def search(tmp_path: Path) -> FinishedSearch:
    """A search that has not begun."""
    return make_search(tmp_path / "search")


def edit(search: FinishedSearch, old: str, new: str) -> None:
    text = search.config_file.read_text()
    assert old in text
    search.config_file.write_text(text.replace(old, new))


def told(search: FinishedSearch, *command: object, code: int) -> str:
    """The last line of what a failing command says; progress comes before it."""
    out, errors = archsmith_here(*command, cwd=search.folder, code=code)
    assert out == ""
    lines = errors.strip().splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith(("error:", "Error:"))]
    assert len(starts) == 1, errors
    return "\n".join(lines[starts[0] :])


def test_a_mistyped_key(search: FinishedSearch) -> None:
    edit(search, "n_trials", "n_trails")
    edit(search, "preset", "presett")
    for command in ("search", "check"):
        text = told(search, command, code=2)
        assert "search.toml: n_trails: unknown key; did you mean 'n_trials'?" in text
        assert "search.toml: space.presett: unknown key; did you mean 'preset'?" in text
    assert not (search.folder / "archsmith-output").exists()


def test_a_wrong_value_is_shown_with_what_would_work(search: FinishedSearch) -> None:
    edit(search, "[32, 64]", "[33]")
    assert "widths are multiples of 32, got 33" in told(search, "check", code=2)
    edit(search, "[33]", "[32]")
    edit(search, '"file_bytes <= 200KiB"', '"filebytes <= 200KiB"')
    assert "did you mean 'file_bytes'?" in told(search, "check", code=2)
    edit(search, '"filebytes <= 200KiB"', '"file_bytes <= 200KiB"')
    edit(search, 'type = "random"', 'type = "randon"')
    assert "unknown strategy 'randon'; did you mean 'random'?" in told(search, "check", code=2)


def test_broken_toml_is_named_with_its_line(search: FinishedSearch) -> None:
    edit(search, "seed = 1", "seed = ")
    text = told(search, "search", code=2)
    assert re.search(r"search\.toml: not valid TOML: .*line 4", text)


def test_a_missing_search_file(tmp_path: Path) -> None:
    for command in ("search", "check", "status", "report"):
        _, errors = archsmith_here(command, cwd=tmp_path, code=2)
        assert "search.toml: no such file" in errors
    assert list(tmp_path.iterdir()) == []


def test_an_impossible_limit(search: FinishedSearch) -> None:
    edit(search, "200KiB", "10KiB")
    for command in ("check", "search"):
        text = told(search, command, code=3)
        assert "no architecture of the space meets the limit 'file_bytes <= 10.0 KiB'" in text
        assert re.search(r"the nearest found, 1x32 .* has file_bytes = [\d.]+ KiB", text)
    text = told(search, "suggest", "notes", "--limit", "num_params<=1000", code=3)
    assert "num_params <= 1K" in text
    assert not (search.folder / "archsmith-output" / "checkpoints").exists()


def test_a_missing_corpus_folder(search: FinishedSearch) -> None:
    shutil.move(search.folder / "notes", search.folder / "diary")
    assert re.search(
        r"notes: no such file or folder \(looked for /.*", told(search, "check", code=2)
    )
    assert "nots: no such file or folder" in told(search, "suggest", "nots", code=2)
    assert "nots: no such file or folder" in told(search, "init", "nots", "--force", code=2)


def test_a_corpus_too_small_for_its_splits(search: FinishedSearch) -> None:
    shutil.rmtree(search.folder / "notes")
    write_notes(search.folder / "notes", num_bytes=8_000)
    text = told(search, "search", code=2)
    assert "the corpus is too small for its splits: train " in text
    assert "each needs 4,096 bytes" in text
    assert "minimum_split_bytes" in text
    assert not (search.folder / "archsmith-output" / "tokens").exists()


def test_a_vocabulary_larger_than_the_corpus_supports(search: FinishedSearch) -> None:
    edit(search, "[288, 320]", "[288, 65536]")
    text = told(search, "search", code=2)
    found = re.search(r"the corpus supports only ([\d,]+) entries, 65,536 were asked for", text)
    assert found
    assert f"ask for at most {found[1]}" in text


@pytest.mark.parametrize("place", ["file/out", "/proc/archsmith-output"])
def test_an_unwritable_output_folder(search: FinishedSearch, place: str) -> None:
    """Below a regular file, and where not even root may write."""
    (search.folder / "file").write_text("mine")
    edit(search, "seed = 1", f'seed = 1\noutput_dir = "{place}"')
    for command in ("search", "check"):
        text = told(search, command, code=2)
        assert place in text
        assert "cannot be written" in text
        assert "choose another folder" in text
    assert (search.folder / "file").read_text() == "mine"


def test_unwritable_places_of_other_commands(finished: FinishedSearch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "below"
    text = told(finished, "report", "--html", below, code=2)
    assert f"{below}: cannot be written" in text
    text = told(finished, "init", "notes", "--output", below, code=2)
    assert f"{below}: cannot be written" in text
    text = told(finished, "train", "--max-bytes", "70kB", "--output-dir", below, code=2)
    assert "cannot be written" in text
    model = next((finished.folder / "archsmith-output" / "winner").iterdir())
    text = told(finished, "export", model, "--output-dir", below, code=2)
    assert "cannot be written" in text
    assert (tmp_path / "file").read_text() == "mine"


def limited(search: FinishedSearch, file_bytes: int, *command: str) -> subprocess.CompletedProcess:
    """A command whose files cannot grow beyond `file_bytes`: the system refuses to write on."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(
        [sys.executable, "-m", "archsmith", *command],
        cwd=search.folder, preexec_fn=limit, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, timeout=240,
    )  # fmt: skip


def test_a_disk_that_takes_no_more_while_preparing(search: FinishedSearch) -> None:
    done = limited(search, 20_000, "check")
    assert done.returncode == 2, done.stderr
    assert re.search(r"error: .*cannot be written: File too large", done.stderr)
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr
    archsmith_here("check", cwd=search.folder)  # with room, the same command works


def test_a_disk_that_takes_no_more_while_exporting(
    finished: FinishedSearch, tmp_path: Path
) -> None:
    model = next((finished.folder / "archsmith-output" / "winner").iterdir())
    done = limited(finished, 30_000, "export", str(model), "--output-dir", str(tmp_path / "out"))
    assert done.returncode in (1, 2), done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.gguf"))
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_corrupt_store(finished: FinishedSearch, tmp_path: Path) -> None:
    search = finished.copy(tmp_path / "search")
    store = search.folder / "archsmith.db"
    good = store.read_bytes()
    for damaged in (
        b"not a database" * 100,
        good[:4096] + b"\xff" * 40_000 + good[44_096:],
        good[:9000],
    ):
        for suffix in ("-wal", "-shm"):
            store.with_name(store.name + suffix).unlink(missing_ok=True)
        store.write_bytes(damaged)
        for command in ("status", "report", "search"):
            text = told(search, command, code=1)
            assert "archsmith.db" in text
            assert re.search("damaged|not a database|no archsmith store|malformed", text)
            assert store.read_bytes() == damaged


def test_a_store_of_another_version(finished: FinishedSearch, tmp_path: Path) -> None:
    search = finished.copy(tmp_path / "search")
    store = search.folder / "archsmith.db"
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.commit()
    for command in ("status", "search"):
        assert "newer archsmith" in told(search, command, code=1)
    store.unlink()
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript(OLD_STORE.read_text())
    before = store.read_bytes()
    assert "older archsmith (schema 0001); start its search once" in told(search, "status", code=1)
    assert store.read_bytes() == before


def test_a_study_that_is_not_there(finished: FinishedSearch) -> None:
    text = told(finished, "status", "--study-name", "note", code=1)
    assert "no study 'note' in sqlite:///" in text
    assert "did you mean 'notes'?" in text
    text = told(finished, "status", "--storage", "archsmit.db", code=1)
    assert re.search(r"there is no store at .*archsmit\.db; a search makes one", text)
    assert not (finished.folder / "archsmit.db").exists()


def test_a_corrupt_checkpoint(finished: FinishedSearch, tmp_path: Path) -> None:
    search = finished.copy(tmp_path / "search")
    trunks = search.folder / "archsmith-output" / "checkpoints" / "notes"
    train = ["train", "--trial", "1", "--max-bytes", "70kB", "--output-dir", tmp_path / "model"]
    (manifest,) = trunks.glob("*/trial-00001/rung-0-*/trunk/manifest.json")
    (weights,) = manifest.parent.glob("weights-*.safetensors")
    good = weights.read_bytes()
    weights.write_bytes(good[:-8] + bytes(byte ^ 255 for byte in good[-8:]))
    text = told(search, *train, code=1)
    assert f"{weights.name}: damaged: its content is not what was written" in text
    weights.write_bytes(good)
    manifest.write_text(manifest.read_text()[:-40])
    text = told(search, *train, code=1)
    assert "manifest.json: damaged" in text
    assert not (tmp_path / "model" / "weights.safetensors").exists()


def test_a_corrupt_model_folder(finished: FinishedSearch, tmp_path: Path) -> None:
    made = next((finished.folder / "archsmith-output" / "winner").iterdir())
    model = shutil.copytree(made, tmp_path / "model")
    weights = model / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    text = told(finished, "export", model, "--output-dir", tmp_path / "out", code=1)
    assert "weights.safetensors: damaged" in text
    assert not (tmp_path / "out").exists()
    text = told(finished, "export", tmp_path, "--output-dir", tmp_path / "out", code=1)
    assert "not a model folder, it lacks" in text


def test_what_is_no_model(finished: FinishedSearch, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + b"\xff" * 200)
    for command in ("generate", "score"):
        assert "a.gguf" in told(finished, command, tmp_path / "a.gguf", code=1)
    assert "no .gguf file in this folder" in told(finished, "generate", tmp_path / "..", code=2)
    _, errors = archsmith_here("generate", tmp_path / "b.gguf", cwd=finished.folder, code=2)
    assert "b.gguf' does not exist" in errors
    long = "karo " * 100
    text = told(finished, "generate", finished.gguf, long, code=2)
    assert re.search(r"the prompt takes \d+ tokens, the context holds 48; give at most 47", text)


def test_a_timeout_too_short(search: FinishedSearch) -> None:
    for command in ("search", "check"):
        text = told(search, command, "--timeout", "20s", code=2)
        assert "timeout: 20s is too short for a search; give at least 1m" in text
    assert "timeout" in told(search, "check", "--timeout", "soon", code=2)


def test_settings_changed_under_a_study(finished: FinishedSearch, tmp_path: Path) -> None:
    search = finished.copy(tmp_path / "search")
    with closing(sqlite3.connect(search.folder / "archsmith.db")) as connection:
        connection.execute("DELETE FROM notes WHERE key = 'arms'")
        connection.commit()
    edit(search, "200KiB", "300KiB")
    text = told(search, "search", "--quiet", code=2)
    assert "study 'notes' was started with limits = " in text
    assert "give the study another name" in text


def test_arguments_that_contradict_each_other(finished: FinishedSearch, tmp_path: Path) -> None:
    folder = ["--output-dir", tmp_path / "model"]
    assert "either --max-bytes or --timeout" in told(finished, "train", *folder, code=2)
    ends = ["--max-bytes", "70kB"]
    text = told(finished, "train", "--trial", "77", *ends, *folder, code=2)
    assert "study 'notes' has no trial 77; it has 4, from 0 on" in text
    text = told(finished, "train", "--trial", "last", *ends, *folder, code=2)
    assert "give a trial's number or 'best', got 'last'" in text
    assert not (tmp_path / "model").exists()

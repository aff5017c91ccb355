"""What every command has in common: help, JSON, streams, exit codes, a quick start."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from helpers_workflow import FinishedSearch, archsmith, archsmith_here, make_search

COMMANDS = (
    "check", "demo", "device", "earlier", "export", "generate", "init", "plugins", "presets",
    "replay", "report", "score", "search", "status", "suggest", "surrogate", "train",
)  # fmt: skip
# Runs a command in this process and says afterwards what it imported and what it took.
PROBE = """
import resource, sys
from archsmith.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print("SPENT", used.ru_utime + used.ru_stime, file=sys.stderr)
print("IMPORTED", *sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


def probe(*arguments: str, cwd: Path) -> tuple[float, set[str], str]:
    """CPU seconds of a command, the packages it imported, its output."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=cwd, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    lines = dict(line.split(" ", 1) for line in done.stderr.splitlines()[-2:])
    return float(lines["SPENT"]), set(lines["IMPORTED"].split()), done.stdout


def test_help_names_every_command(tmp_path: Path) -> None:
    text, _ = archsmith_here("--help", cwd=tmp_path)
    found = {line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_imports_no_torch(command: str, tmp_path: Path) -> None:
    _, imported, text = probe(command, "--help", cwd=tmp_path)
    assert text.startswith(f"Usage: archsmith {command}")
    assert "--json" in text
    assert not {"torch", "transformers", "gguf", "pymoo"} & imported


def test_what_only_reads_the_store_imports_nothing_heavy(finished: FinishedSearch) -> None:
    _, imported, text = probe("status", cwd=finished.folder)
    assert "study notes" in text
    assert not {"torch", "transformers", "numpy", "scipy", "pymoo", "matplotlib"} & imported
    _, imported, text = probe("report", cwd=finished.folder)
    assert "final comparison" in text
    assert not {"torch", "transformers", "gguf", "xllamacpp"} & imported


@pytest.mark.parametrize("arguments", [["--help"], ["status"]])
def test_help_and_status_answer_at_once(finished: FinishedSearch, arguments: list[str]) -> None:
    """Median CPU seconds under 0.6; a machine that is busy or slow is given its share more.

    Its slowness is what importing the libraries alone takes, 0.25 seconds where it is at ease.
    """
    libraries = "import sqlalchemy, pydantic, click, rich.console"
    script = f"import resource\n{libraries}\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
    script += "print(u.ru_utime + u.ru_stime)"
    spent, alone = [], []
    for _ in range(3):
        spent.append(probe(*arguments, cwd=finished.folder)[0])
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        alone.append(float(done.stdout))
    slowness = max(statistics.median(alone) / 0.25, 1.0)
    assert statistics.median(spent) < 0.6 * slowness, (spent, alone)


def test_an_unknown_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    out, errors = archsmith_here("serch", cwd=tmp_path, code=2)
    assert "No such command 'serch'. did you mean 'search'?" in errors
    assert out == ""


def test_an_unknown_option_is_answered_with_the_nearest(tmp_path: Path) -> None:
    out, errors = archsmith_here("search", "--n-trails", "3", cwd=tmp_path, code=2)
    assert "--n-trials" in errors
    assert out == ""


def test_init_writes_a_file_that_check_accepts(tmp_path: Path) -> None:
    make_search(tmp_path / "made")
    folder = tmp_path / "made"
    (folder / "search.toml").unlink()
    out, _ = archsmith_here("init", "notes", "--json", cwd=folder)
    assert json.loads(out)["written"] == "search.toml"
    plan = json.loads(archsmith_here("check", "--json", cwd=folder)[0])
    assert plan["budget"]["total_seconds"] == 8 * 3600
    assert plan["suggestion"]["rows"][0]["name"] == "suggested"
    assert sum(seconds for key, seconds in plan["budget"].items() if key != "total_seconds") == (
        pytest.approx(8 * 3600)
    )


def test_init_never_overwrites_unless_forced(tmp_path: Path) -> None:
    folder = make_search(tmp_path / "made").folder
    before = (folder / "search.toml").read_text()
    _, errors = archsmith_here("init", "notes", cwd=folder, code=2)
    assert "search.toml exists; choose another --output, or --force" in errors
    assert (folder / "search.toml").read_text() == before
    archsmith_here("init", "notes", "--force", cwd=folder)
    assert (folder / "search.toml").read_text() != before


def test_report_never_overwrites_unless_forced(finished: FinishedSearch, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    _, errors = archsmith_here("report", "--html", page, cwd=finished.folder, code=2)
    assert f"{page} exists; choose another file, or --force" in errors
    assert page.read_text() == "mine"
    archsmith_here("report", "--html", page, "--force", cwd=finished.folder)
    assert "<html" in page.read_text()


def test_data_goes_to_stdout_and_progress_to_stderr(tmp_path: Path) -> None:
    folder = make_search(tmp_path / "made").folder
    done = archsmith("check", "--json", cwd=folder)
    assert {"suggestion", "config", "rungs"} <= json.loads(done.stdout).keys()
    assert "corpus: 100%" in done.stderr
    out, errors = archsmith_here("suggest", "notes", "--json", "--quiet", cwd=folder)
    assert json.loads(out)["rows"]
    assert errors == ""


JSON_COMMANDS = {
    "device": ["device"],
    "plugins": ["plugins"],
    "presets": ["presets"],
    "status": ["status"],
    "report": ["report"],
    "check": ["check"],
    "search": ["search"],
    "generate": ["generate", "archsmith-output/models/search-winner", "Karo"],
    "score": ["score", "archsmith-output/models/search-winner/model-Q8_0.gguf"],
}


@pytest.mark.parametrize("command", JSON_COMMANDS)
def test_json_output_parses(finished: FinishedSearch, command: str) -> None:
    out, _ = archsmith_here(*JSON_COMMANDS[command], "--json", cwd=finished.folder)
    data = json.loads(out)
    wanted = {
        "device": {"processor", "num_cores"},
        "plugins": {"strategies", "exporters"},
        "presets": {"presets"},
        "status": {"trials"},
        "report": {"arms"},
        "check": {"suggestion"},
        "search": {"arms", "page"},
        "generate": {"completion"},
        "score": {"score", "low", "high"},
    }
    assert wanted[command] <= data.keys(), sorted(data)


def test_train_and_export_write_json(finished: FinishedSearch, tmp_path: Path) -> None:
    out, files = tmp_path / "model", tmp_path / "files"
    arguments = ["--max-bytes", "40kB", "--output-dir", out, "--json"]
    written, _ = archsmith_here("train", "--trial", "1", *arguments, cwd=finished.folder)
    assert json.loads(written)["record"]["train_bytes"] > 30_000
    export = ["export", out, "--output-dir", files]
    exported = json.loads(archsmith_here(*export, "--json", "--quiet", cwd=tmp_path)[0])
    assert [Path(path).exists() for path in exported["paths"]] == [True, True]
    _, errors = archsmith_here(*export, cwd=tmp_path, code=1)
    assert "transformers exists; give another path, or overwrite it with --force" in errors
    archsmith_here(*export, "--force", "--format", "gguf", cwd=tmp_path)


def test_a_reader_that_goes_away_is_told_nothing(finished: FinishedSearch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "archsmith", "report"],
            cwd=finished.folder, stdout=gone, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ""

"""A whole search on generated text, small enough for a test; for tests/workflow and tests/cli.

Used through `finished_search`, which runs it once for all tests of a process.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from archsmith.budget import Budget
from archsmith.cli.main import main
from archsmith.evaluators.base import Progress
from archsmith.runtime.events import Event
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from archsmith.workflow.watcher import Watcher

SYLLABLES = ("ka", "ro", "mi", "ten", "sol", "ba", "vu", "lin", "do", "per", "sta", "ne")
SEARCH_FILE = """\
study_name = "notes"
limits = ["file_bytes <= 200KiB"]
n_trials = 4
seed = 1
baselines = []
[corpus]
files = ["notes"]
near_duplicates = false
validation_fraction = 0.1
test_fraction = 0.1
minimum_split_bytes = 4096
[tokenizer]
vocab_sizes = [288, 320]
[space]
preset = "llama"
hidden_sizes = [32, 64]
depths = [1, 2]
head_dims = [16, 32]
intermediate_ratios = [2.0]
heads_per_kv_head = [1]
quantizations = ["Q8_0"]
[strategy]
type = "random"
[plan]
context_bytes = 128
train_bytes = 60000
rungs = [0.5]
finalists = 1
fresh_seeds = 0
rate_factors = []
[training]
batch_tokens = 96
warmup_steps = 5
dtype = "float32"
[protocol]
context_bytes = 128
stride_bytes = 64
block_bytes = 1024
max_bytes = 6144
"""


def write_notes(folder: Path, *, num_bytes: int = 240_000, seed: int = 0) -> None:
    """Files of sentences from an invented vocabulary; the same text for the same seed."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(400)]
    weights = [1 / (place + 1) for place in range(len(words))]
    folder.mkdir(parents=True)
    number = written = 0
    while written < num_bytes:
        sentences = [
            " ".join(rng.choices(words, weights, k=rng.randint(4, 12))).capitalize() + ".\n"
            for _ in range(rng.randint(8, 30))
        ]
        number += 1
        written += (folder / f"note-{number:03}.txt").write_text("".join(sentences))


@contextmanager
def one_core() -> Iterator[None]:
    """On one core: threads that wait for each other on a busy machine take ten times as long.

    Each of several test processes has its own.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[-1 - number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Recorder(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.readings: list[Progress] = []

    def phase(self, name: str, seconds: float | None) -> None:
        self.phases.append(name)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def training(self, name: str, progress: Progress) -> None:
        self.readings.append(progress)


@dataclass(frozen=True)
class FinishedSearch:
    """A search that has come to its end, in a folder nobody else writes to."""

    folder: Path

    @property
    def config_file(self) -> Path:
        return self.folder / "search.toml"

    @property
    def models(self) -> Path:
        return self.folder / "archsmith-output" / "models" / "search-winner"

    @property
    def gguf(self) -> Path:
        return self.models / "model-Q8_0.gguf"

    def pipeline(self, watcher: Watcher | None = None) -> Pipeline:
        config, root = load_search_config(self.config_file)
        return Pipeline(config, root=root, watcher=watcher)

    def copy(self, folder: Path) -> "FinishedSearch":
        """The same search as if it had been made in another folder, free to be damaged."""
        shutil.copytree(self.folder, folder, symlinks=True)
        with closing(sqlite3.connect(folder / "archsmith.db")) as connection:
            places = (str(self.folder), str(folder))
            connection.execute("UPDATE studies SET spec = replace(spec, ?, ?)", places)
            connection.commit()
        return FinishedSearch(folder)


def make_search(folder: Path, **changes: str) -> FinishedSearch:
    """Notes and a search file in a new folder; `changes` replace whole lines by their key."""
    write_notes(folder / "notes")
    lines = SEARCH_FILE.splitlines()
    for key, value in changes.items():
        place = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
        lines[place] = f"{key} = {value}"
    (folder / "search.toml").write_text("\n".join(lines) + "\n")
    return FinishedSearch(folder)


def finished_search(base: Path) -> FinishedSearch:
    """The finished search below `base`, run if it is not there yet."""
    folder, done = base / "finished-search", base / "finished-search.done"
    if not done.exists():
        if folder.exists():
            raise RuntimeError("the search did not come to its end in another test process")
        made = make_search(folder)
        with one_core():
            made.pipeline().run()
        done.touch()
    return FinishedSearch(folder)


def archsmith(
    *arguments: object,
    cwd: Path,
    code: int | None = 0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; its exit code is checked against `code`."""
    with one_core():
        done = subprocess.run(
            [sys.executable, "-m", "archsmith", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    if code is not None:
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
    return done


def archsmith_here(*arguments: object, cwd: Path, code: int = 0) -> tuple[str, str]:
    """Run the command in this process, which is quicker; returns what it says on both streams."""
    out, errors = StringIO(), StringIO()
    ended = 0
    with chdir(cwd), one_core(), redirect_stdout(out), redirect_stderr(errors):
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            ended = int(end.code or 0)
    assert ended == code, f"exit code {ended}\n{out.getvalue()}{errors.getvalue()}"
    return out.getvalue(), errors.getvalue()


def budget(search_seconds: float = 1000.0) -> Budget:
    """A quarter of it all for the search, the rest for the final training."""
    return Budget(
        total_seconds=4 * search_seconds,
        prepare_seconds=0.0,
        calibration_seconds=0.0,
        search_seconds=search_seconds,
        training_seconds=3 * search_seconds,
        export_seconds=0.0,
    )

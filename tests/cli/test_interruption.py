"""Ctrl-C and kill -9 in the midst of a search; the same command then comes to its end."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from helpers_workflow import FinishedSearch, archsmith, make_search, one_core

pytestmark = pytest.mark.slow


@pytest.fixture
def search(tmp_path: Path) -> FinishedSearch:
    """A search of three trials and two rungs."""
    return make_search(tmp_path / "search", n_trials="3", rungs="[0.3, 0.6]", train_bytes="250000")


def start(search: FinishedSearch) -> "subprocess.Popen[str]":
    with one_core():
        return subprocess.Popen(
            [sys.executable, "-m", "archsmith", "search"],
            cwd=search.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip


def wait_until(process: "subprocess.Popen[str]", happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def done_jobs(search: FinishedSearch) -> list[tuple[int, str, int]]:
    """(trial, kind, rung) of what is finished; empty before there is a store."""
    path = search.folder / "archsmith.db"
    if not path.is_file():
        return []
    query = (
        "SELECT candidates.number, jobs.kind, jobs.rung FROM jobs JOIN candidates "
        "ON candidates.id = jobs.candidate_id WHERE jobs.state = 'done' ORDER BY jobs.finished"
    )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # not made yet
            return []


def finish(search: FinishedSearch, before: list[tuple[int, str, int]]) -> None:
    """Start again; what was finished is not done twice, and the end is reached."""
    done = archsmith("search", "--json", cwd=search.folder)
    report = json.loads(done.stdout)
    assert {arm["name"] for arm in report["arms"]} >= {"search winner", "xz -9"}
    after = done_jobs(search)
    assert after[: len(before)] == before
    assert len(after) == len(set(after))
    for number, kind, rung in before:
        assert f"trial {number}, {kind} {rung}:" not in done.stderr
    assert search.gguf.is_file()


@pytest.mark.parametrize("kind", ["first trial", "second trial"])
def test_ctrl_c_ends_with_130_and_the_search_goes_on(search: FinishedSearch, kind: str) -> None:
    process = start(search)
    if kind == "first trial":
        wait_until(
            process, lambda: list(search.folder.glob("archsmith-output/checkpoints/*/*/*")) != []
        )
        time.sleep(1.0)
    else:
        wait_until(process, lambda: len(done_jobs(search)) >= 1)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "continue" in errors.splitlines()[-1]
    status = json.loads(archsmith("status", "--json", cwd=search.folder).stdout)
    assert status["running"] == []
    finish(search, done_jobs(search))


def test_kill_9_loses_nothing_that_was_finished(search: FinishedSearch) -> None:
    process = start(search)
    wait_until(process, lambda: len(done_jobs(search)) >= 1)
    time.sleep(0.5)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    before = done_jobs(search)
    assert before
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == [], "workers end when the process that started them is gone"
    finish(search, before)


def test_ctrl_c_in_the_final_training_keeps_its_trunk(tmp_path: Path) -> None:
    search = make_search(tmp_path / "search", n_trials="1", rungs="[0.03]", train_bytes="1000000")
    process = start(search)
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if "== final training" in line:
            break
    time.sleep(3.0)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, "".join(lines) + errors
    (manifest,) = search.folder.glob("archsmith-output/winner/*/trunk/manifest.json")
    step = json.loads(manifest.read_text())["step"]
    search_end = max(
        json.loads(path.read_text())["step"]
        for path in search.folder.glob("archsmith-output/checkpoints/*/*/*/*/*/manifest.json")
    )
    assert step > search_end
    finish(search, done_jobs(search))

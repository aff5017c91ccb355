"""Whole searches with inherited weights: killed twice, and what they leave to train and export."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archsmith.errors import ConfigError, StoreError
from archsmith.report.load import load_study
from archsmith.store.records import JobKind, JobState
from archsmith.store.store import Store, connect
from archsmith.train.supernet import read_supernet
from archsmith.workflow.continuing import export_source, train_trial
from helpers_workflow import FinishedSearch, archsmith, archsmith_here, make_search, one_core

# the supernet's text: enough updates to be stopped in the midst of them
SECTION = """\
tie_word_embeddings = [true]
rope_thetas = [10_000.0]
[supernet]
train_bytes = {shared_bytes}
[strategy]"""


def one_shot(folder: Path, *, shared_bytes: int, strategy: str, **changes: str) -> FinishedSearch:
    made = make_search(
        folder,
        vocab_sizes="[320]",
        head_dims="[16]",
        intermediate_ratios="[1.0, 2.0]",
        type=f'"{strategy}"',
        **changes,
    )
    text = made.config_file.read_text()
    text = text.replace("[strategy]", SECTION.format(shared_bytes=shared_bytes))
    made.config_file.write_text(text)
    return made


def store_of(search: FinishedSearch) -> Store:
    return connect(search.folder / "archsmith.db")


def jobs_of(search: FinishedSearch, kind: JobKind) -> list[JobState]:
    try:
        trials = store_of(search).trials("notes")
    except StoreError:
        return []
    return [job.state for trial in trials for job in trial.jobs if job.kind is kind]


def is_under_way(search: FinishedSearch) -> bool:
    """Whether a job has told how far it is."""
    try:
        return any(job.fraction_done > 0.0 for job in store_of(search).queue.running("notes"))
    except StoreError:
        return False


def stop_when(search: FinishedSearch, met: Callable[[], bool], how: signal.Signals) -> int:
    """Begin or continue a search with the command, and end it when something has happened."""
    with one_core():
        running = subprocess.Popen(
            [sys.executable, "-m", "archsmith", "search", "--quiet", str(search.config_file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    deadline = time.monotonic() + 240
    while not met():
        assert running.poll() is None, "it ended before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(how)
    return running.wait(120)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_that_is_killed_goes_on_to_its_end(tmp_path: Path) -> None:
    settings = {"n_trials": "6", "finalists": "2", "train_bytes": "90000"}
    search = one_shot(
        tmp_path / "killed", shared_bytes=400_000, strategy="single_path_one_shot", **settings
    )
    supernets = search.folder / "archsmith-output" / "supernets"
    # asked to stop while the shared weights are trained: they are saved
    ended = stop_when(search, lambda: is_under_way(search), signal.SIGTERM)
    assert ended != 0
    (home,) = supernets.iterdir()
    midway = read_supernet(home)
    assert 0 < midway.step < midway.num_steps
    # killed while a finalist is trained from scratch
    ended = stop_when(
        search, lambda: JobState.LEASED in jobs_of(search, JobKind.EXTEND), signal.SIGKILL
    )
    assert ended == -signal.SIGKILL
    store = store_of(search)
    scores = [trial.metrics["bits_per_byte"] for trial in store.trials("notes")]
    assert len(set(scores)) == 6
    assert not store.notes("notes").get("finalists")

    told = archsmith("search", search.config_file, cwd=search.folder).stdout
    assert "Scores of the search are inherited" in " ".join(told.split())
    assert read_supernet(home).finished
    trials, notes = store.trials("notes"), store.notes("notes")
    assert [trial.metrics["bits_per_byte"] for trial in trials] == scores
    finalists = notes["finalists"]
    best = sorted(trials, key=lambda trial: trial.metrics["bits_per_byte"])[:2]
    assert {one["trial"] for one in finalists} == {0, *(trial.number for trial in best)}
    assert all(one["cooled"] for one in finalists)
    assert set(jobs_of(search, JobKind.EXTEND)) == {JobState.DONE}
    assert notes["supernet"]["finalists"]["trained"] == len(finalists)
    # the winner went on from its own short training
    arm = next(arm for arm in notes["arms"] if arm["name"] == "search winner")
    winner = next(trial for trial in trials if trial.number == finalists[0]["trial"])
    assert arm["details"]["train_bytes"] >= 90_000
    assert arm["metrics"]["bits_per_byte"] < 2.0
    assert arm["trial"] == winner.number
    # everything is in the ledger: the supernet once, the finalists' trainings from their start
    ledger = store.ledger("notes")
    rungs = [entry for entry in ledger if entry.phase.startswith("rung")]
    assert sum(entry.flops for entry in rungs) == pytest.approx(read_supernet(home).flops)
    assert sum(entry.seconds for entry in rungs) > read_supernet(home).train_seconds
    extended = sum(entry.flops for entry in ledger if entry.phase.startswith("extend"))
    jobs = [job for trial in trials for job in trial.jobs if job.kind is JobKind.EXTEND]
    assert extended == pytest.approx(
        sum(job.details["flops"] + job.details["branch_flops"] for job in jobs)
    )
    report = load_study(store, "notes")
    assert report.supernet["trained"]["num_members"] == 8

    # what the search has is inherited: there is nothing to export, but something to train
    other = next(t for t in trials if t.number not in {one["trial"] for one in finalists})
    with one_core():
        model = train_trial(
            search.config_file,
            trial=other.number,
            output_dir=tmp_path / "from-scratch",
            train_bytes=30_000,
        )
    assert model.record.from_checkpoint is None
    assert model.record.train_bytes >= 30_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_jobs_train_one_supernet(tmp_path: Path) -> None:
    settings = {"n_trials": "6\nn_jobs = 2", "finalists": "2", "train_bytes": "90000"}
    search = one_shot(
        tmp_path / "two", shared_bytes=100_000, strategy="single_path_one_shot", **settings
    )
    archsmith("search", search.config_file, cwd=search.folder)
    store = store_of(search)
    trials, ledger = store.trials("notes"), store.ledger("notes")
    assert len({trial.metrics["bits_per_byte"] for trial in trials}) == 6
    (home,) = (search.folder / "archsmith-output" / "supernets").iterdir()
    rungs = [entry for entry in ledger if entry.phase.startswith("rung")]
    assert sum(entry.flops for entry in rungs) == pytest.approx(read_supernet(home).flops)
    assert set(jobs_of(search, JobKind.EXTEND)) == {JobState.DONE}
    workers = {job.owner for trial in trials for job in trial.jobs if job.kind is JobKind.RUNG}
    assert len(workers) >= 2


def test_check_tells_of_the_supernet_and_what_cannot_be_one(tmp_path: Path) -> None:
    search = one_shot(tmp_path / "check", shared_bytes=9_000, strategy="darts")
    told, _ = archsmith_here("check", "--quiet", "search.toml", cwd=search.folder)
    assert "supernet   darts: 8 networks in 2x64" in told
    assert "the rungs are what finalists are trained to" in told
    assert "fewer than 200: its scores will say little" in told
    text = search.config_file.read_text()
    # masks cannot mix groupings of heads: known before anything is trained
    grouped = text.replace("heads_per_kv_head = [1]", "heads_per_kv_head = [1, 2]")
    search.config_file.write_text(grouped)
    _, errors = archsmith_here("check", "--quiet", "search.toml", cwd=search.folder, code=2)
    assert "heads that share a key head" in errors
    search.config_file.write_text(text.replace("head_dims = [16]", "head_dims = [16, 32]"))
    for command in ("check", "search"):
        _, errors = archsmith_here(command, "--quiet", "search.toml", cwd=search.folder, code=2)
        assert "[space] head_dims = [16]" in errors


def test_nothing_but_inherited_scores_cannot_be_exported(tmp_path: Path) -> None:
    search = one_shot(tmp_path / "s", shared_bytes=3_000, strategy="single_path_one_shot")
    pipeline = search.pipeline()
    pipeline.in_one_process = True
    with one_core():
        pipeline.prepare()
        suggestion = pipeline.suggestion()
        study = pipeline.study(suggestion)
        study.optimize(
            pipeline.evaluator(pipeline.config.training), n_trials=1, executor="inline", threads=1
        )
    with pytest.raises(ConfigError, match=r"has an inherited score .* trains it from scratch"):
        export_source(search.config_file, formats=("gguf",), output_dir=tmp_path / "out")

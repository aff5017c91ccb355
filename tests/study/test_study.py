import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from archsmith.errors import (
    ConfigError,
    EvaluationError,
    InfeasibleError,
    SearchInterrupted,
)
from archsmith.halving.settings import Halving
from archsmith.runtime import events
from archsmith.runtime.driver import StopReason
from archsmith.store.records import JobKind, JobState
from archsmith.trial import TrialState
from helpers_study import Grid, Point, Toy, Unfiltered, make_study, summary


def test_a_search_climbs_the_ladder(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    told: list[events.Event] = []
    reason = study.optimize(Toy(), n_trials=12, executor="inline", on_event=told.append)
    assert reason is StopReason.N_TRIALS
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    (best,) = study.best_trials
    assert best.rung == 2
    assert best.metrics["bits_per_byte"] == min(
        t.metrics["bits_per_byte"] for t in trials if t.rung == 2
    )
    kinds = {type(event).__name__ for event in told}
    assert kinds == {"Proposed", "Started", "Progressed", "Finished", "Promoted", "Eliminated"}
    finished = [event for event in told if isinstance(event, events.Finished)]
    assert len(finished) == sum(job.state is JobState.DONE for t in trials for job in t.jobs)
    assert all(job.threads >= 1 and job.metrics for trial in trials for job in trial.jobs)
    assert best.curve[0][0] == 100


def test_promotions_continue_from_the_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = make_study(tmp_path)
    study.optimize(Toy(log=str(log)), n_trials=6, executor="inline")
    lines = [tuple(line.split()[:2]) for line in log.read_text().splitlines()]
    assert len(lines) == len(set(lines))
    top = [trial for trial in study.trials if trial.rung == 2]
    assert top
    assert all(job.checkpoint_in == below.checkpoint_out for trial in top
               for below, job in zip(trial.jobs, trial.jobs[1:], strict=False))  # fmt: skip


def test_a_search_repeats_exactly(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        study = make_study(tmp_path / name)
        study.optimize(Toy(), n_trials=10, executor="inline")
        found.append(summary(study))
    assert found[0] == found[1]


def test_a_resumed_search_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = make_study(tmp_path / "whole")
    whole.optimize(Toy(), n_trials=10, executor="inline")
    for _ in range(60):
        study = make_study(tmp_path)
        stop_after(study, 2)
        if len(study.trials) == 10 and not any(j.is_open for t in study.trials for j in t.jobs):
            break
    study.optimize(Toy(), n_trials=10, executor="inline")
    assert summary(study) == summary(whole)


def stop_after(study, finished: int) -> None:
    """Optimize until `finished` jobs are done, then stop as by Ctrl-C."""
    seen = []

    def listen(event: events.Event) -> None:
        seen.append(isinstance(event, events.Finished))
        if sum(seen) >= finished:
            os.kill(os.getpid(), signal.SIGINT)
            seen.clear()

    with suppress(SearchInterrupted):
        study.optimize(Toy(), n_trials=10, executor="inline", on_event=listen)


def test_a_study_goes_on_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    study = make_study(tmp_path / "before", checkpoint_dir=tmp_path / "before" / "kept")
    study.optimize(Toy(), n_trials=10, executor="inline")
    study.store.close()
    (tmp_path / "before").rename(tmp_path / "after")
    moved = make_study(tmp_path / "after", checkpoint_dir=tmp_path / "after" / "kept")
    assert moved.checkpoint_root.is_relative_to(tmp_path / "after" / "kept")
    best = moved.best_trials[0]
    moved.extend(best, train_bytes=9_000, options={"steps": 20, "cooldown": True})
    assert not (tmp_path / "before").exists()


def test_ctrl_c_checkpoints_and_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Progressed) and event.number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SearchInterrupted, match="the same command continues it"):
        study.optimize(Toy(), n_trials=5, executor="inline", on_event=listen)
    waiting = [job for t in study.trials for job in t.jobs if job.state is JobState.WAITING]
    assert [(job.number, job.losses) for job in waiting] == [(1, 0)]
    assert waiting[0].checkpoint_in.endswith("checkpoint.json")
    assert waiting[0].wall_seconds > 0
    study.optimize(Toy(), n_trials=5, executor="inline")
    assert len(study.trials) == 5


def test_limits_are_decided_before_training(tmp_path: Path) -> None:
    study = make_study(tmp_path, strategy=Unfiltered())
    told: list[events.Event] = []
    study.optimize(Toy(), n_trials=15, executor="inline", on_event=told.append)
    rejected = [trial for trial in study.trials if trial.state is TrialState.REJECTED]
    assert rejected
    assert all(trial.jobs == () and trial.architecture.x > 14 for trial in rejected)
    assert rejected[0].reason.startswith("file_bytes <= 1.5 KiB is broken: ")
    assert [e.number for e in told if isinstance(e, events.Rejected)] == [
        t.number for t in rejected
    ]


def test_measured_limits_are_decided_before_training(tmp_path: Path) -> None:
    measured: list[Point] = []

    def measure(point: Point) -> dict[str, float]:
        measured.append(point)
        if point.x == 2:
            raise RuntimeError("the runtime crashed")
        return {"decode_ms_per_token": point.y / 2}

    study = make_study(
        tmp_path,
        measure=measure,
        limits=["decode_ms_per_token <= 5"],
        objectives=["bits_per_byte", "decode_ms_per_token"],
        start=[Point(x=1, y=12), Point(x=1, y=4), Point(x=2, y=0)],
    )
    study.optimize(Toy(), n_trials=4, executor="inline")
    slow, fast, broken, *_ = study.trials
    assert slow.state is TrialState.REJECTED
    assert slow.reason == "decode_ms_per_token <= 5 ms is broken: 6 ms"
    assert [job.kind for job in slow.jobs] == [JobKind.MEASURE]
    assert fast.state is TrialState.COMPLETE
    assert fast.metrics["decode_ms_per_token"] == 2.0
    assert broken.state is TrialState.FAILED
    assert broken.reason == "measurement failed: RuntimeError: the runtime crashed"
    assert len(measured) == 4
    assert all(trial.metrics["decode_ms_per_token"] <= 5 for trial in study.best_trials)


def test_failures_are_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    start = [Point(x=x, y=1) for x in range(5)]
    toy = Toy(trouble={"0": "fail", "1": "diverge", "2": "nan"})
    study = make_study(tmp_path, start=start)
    study.optimize(toy, n_trials=5, executor="inline")
    trials = study.trials
    assert [trial.reason for trial in trials[:3]] == [
        "RuntimeError: this column is broken",
        "loss became infinite at step 3",
        "not a finite number: bits_per_byte is nan",
    ]
    assert "Traceback" in trials[0].jobs[0].error
    assert [trial.state for trial in trials[3:]] == [TrialState.COMPLETE] * 2


def test_a_search_in_which_everything_fails_alike_ends(tmp_path: Path) -> None:
    toy = Toy(trouble={str(x): "fail" for x in range(20)})
    study = make_study(tmp_path)
    with pytest.raises(EvaluationError, match=r"first 5 candidates failed in the same way.*broken"):
        study.optimize(toy, n_trials=50, executor="inline")
    assert len(study.trials) == 5
    study.optimize(Toy(), n_trials=8, executor="inline")
    assert [t.state for t in study.trials[5:]] == [TrialState.COMPLETE] * 3


def test_a_space_that_runs_out_ends_the_search(tmp_path: Path) -> None:
    study = make_study(tmp_path, space=Grid(2), strategy=Unfiltered())
    assert study.optimize(Toy(), executor="inline") is StopReason.EXHAUSTED
    assert len(study.trials) == 4


def test_a_space_without_a_feasible_point_is_an_error(tmp_path: Path) -> None:
    study = make_study(tmp_path, limits=["file_bytes <= 10"])
    with pytest.raises(InfeasibleError):
        study.optimize(Toy(), n_trials=3, executor="inline")


def test_an_objective_that_nothing_gives_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path, objectives=["bits_per_byte", "peak_memory_bytes"])
    with pytest.raises(ConfigError, match="nothing gives 'peak_memory_bytes'"):
        study.optimize(Toy(), n_trials=3, executor="inline")


def test_timeout_keeps_what_is_under_way(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    reason = study.optimize(Toy(step_seconds=0.1), timeout=0.5, executor="inline")
    assert reason is StopReason.TIMEOUT
    assert study.trials
    assert {job.losses for trial in study.trials for job in trial.jobs} == {0}


def test_everything_spent_is_in_the_ledger(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(trouble={"3": "fail"}), n_trials=6, executor="inline")
    entries = study.store.ledger("toy")
    jobs = [job for trial in study.trials for job in trial.jobs]
    assert len([e for e in entries if e.phase.startswith("rung")]) == len(jobs)
    assert sum(e.seconds for e in entries if e.number is not None) == pytest.approx(
        sum(job.wall_seconds for job in jobs)
    )
    assert sum(e.flops for e in entries) > 0
    assert [e.phase for e in entries][-1] == "propose"


def test_audits_are_counted(tmp_path: Path) -> None:
    study = make_study(tmp_path, halving=Halving(audit_share=1.0, margin=0.0))
    study.optimize(Toy(), n_trials=9, executor="inline")
    found = study.audit()
    assert found.audited
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert set(found.false_eliminations) <= set(found.audited)
    assert not any(trial.eliminated_rung == 0 for trial in study.trials)

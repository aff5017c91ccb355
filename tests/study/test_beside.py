"""Trials trained on, or again from scratch, beside the ladder: else nothing changes."""

import time
from pathlib import Path

import pytest

from archsmith.errors import CheckpointError, ConfigError, EvaluationError, SearchInterrupted
from archsmith.report.anytime import job_flops
from archsmith.runtime import events
from archsmith.runtime.disk import delete_repeats
from archsmith.runtime.parts import NOTE, dump_evaluator
from archsmith.store.records import JobKind, JobState
from archsmith.study import Study
from archsmith.study.beside import Repeat
from archsmith.trial import TrialState
from helpers_study import Point, Toy, make_study, summary


def searched(path: Path, **toy: object) -> Study:
    study = make_study(path, start=[Point(x=1, y=1)])
    study.optimize(Toy(log=str(path / "log"), **toy), n_trials=5, executor="inline")  # type: ignore[arg-type]
    return study


def again(trial: int, *seeds: int) -> list[Repeat]:
    return [Repeat(trial, seed, {"cooldown": True}) for seed in seeds]


def steps_of(path: Path, number: int, since: int) -> list[int]:
    lines = [line.split() for line in (path / "log").read_text().splitlines()[since:]]
    return [int(step) for trial, step, _ in lines if trial == f"trial-{number:05d}"]


def test_a_repeat_begins_at_the_beginning_and_is_done_once(tmp_path: Path) -> None:
    study = searched(tmp_path)
    best = study.best_trials[0]
    before = len((tmp_path / "log").read_text().splitlines())
    told: list[events.Event] = []
    jobs = study.repeat(again(best.number, 4, 5), executor="inline", on_event=told.append)
    assert [(job.kind, job.seed, job.state) for job in jobs] == [
        (JobKind.REPEAT, 4, JobState.DONE),
        (JobKind.REPEAT, 5, JobState.DONE),
    ]
    whole = list(range(3 * (best.rung + 1)))
    assert steps_of(tmp_path, best.number, before) == whole * 2
    assert [event.kind for event in told if isinstance(event, events.Finished)] == ["repeat"] * 2
    assert study.repeat(again(best.number, 4, 5), executor="inline") == jobs
    assert steps_of(tmp_path, best.number, before) == whole * 2


def test_a_repeat_changes_nothing_about_its_trial(tmp_path: Path) -> None:
    study = searched(tmp_path)
    best = study.best_trials[0]
    study.repeat(again(best.number, 9), executor="inline")
    now = study.trials[best.number]
    assert (now.state, now.rung, now.metrics, now.curve, now.trunk_curve) == (
        *(best.state, best.rung, best.metrics),
        *(study.store.trial("toy", best.number).curve, best.trunk_curve),
    )
    assert now.curve == best.curve
    assert now.last_rung == best.last_rung
    assert study.best_trials[0].number == best.number


def test_what_a_repeat_cost_is_in_the_ledger_whole(tmp_path: Path) -> None:
    study = searched(tmp_path)
    best = study.best_trials[0]
    before = job_flops(study.trials)
    (job,) = study.repeat(again(best.number, 9), executor="inline")
    (entry,) = [entry for entry in study.store.ledger("toy") if entry.phase == "repeat"]
    told = 1e6 * 3 * (best.rung + 1)
    assert entry.flops == pytest.approx(told)
    assert (entry.number, entry.seconds) == (best.number, pytest.approx(job.wall_seconds))
    assert job_flops(study.trials) == pytest.approx(before + told)


def test_a_stopped_repeat_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    study = searched(tmp_path, step_seconds=0.02)
    best = study.best_trials[0]
    before = len((tmp_path / "log").read_text().splitlines())
    started = time.monotonic()
    (left,) = study.repeat(again(best.number, 9), executor="inline", timeout=0.03)
    assert time.monotonic() - started < 5
    assert (left.state, left.kind) == (JobState.WAITING, JobKind.REPEAT)
    # the search's own workers leave it alone
    study.optimize(Toy(log=str(tmp_path / "log")), n_trials=6, executor="inline")
    (still,) = [j for j in study.trials[best.number].jobs if j.kind is JobKind.REPEAT]
    assert still.state is JobState.WAITING
    (done,) = study.repeat(again(best.number, 9), executor="inline")
    assert done.state is JobState.DONE
    assert steps_of(tmp_path, best.number, before) == list(range(3 * (best.rung + 1)))
    flops = sum(e.flops for e in study.store.ledger("toy") if e.phase == "repeat")
    assert flops > 0


def test_a_repeat_that_fails_is_a_result(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=1, y=1)])
    study.optimize(Toy(), n_trials=1, executor="inline")
    study.store.put_note("toy", NOTE, dump_evaluator(Toy(trouble={"1": "diverge"})))
    (job,) = study.repeat(again(0, 9), executor="inline")
    assert job.state is JobState.FAILED
    assert "loss became infinite" in job.error
    assert study.trials[0].state is TrialState.COMPLETE


def test_only_what_was_trained_can_be_repeated(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=19, y=1)])
    study.optimize(Toy(), n_trials=1, executor="inline")
    with pytest.raises(ConfigError, match=r"trial 0 was never trained .*file_bytes"):
        study.repeat(again(0, 9), executor="inline")


def test_a_request_to_stop_ends_a_batch(tmp_path: Path) -> None:
    study = searched(tmp_path)
    study.store.put_note("toy", NOTE, dump_evaluator(Toy(step_seconds=0.1)))
    best = study.best_trials[0]

    def stop(event: events.Event) -> None:
        study.store.request_stop("toy")

    with pytest.raises(SearchInterrupted, match="'toy' was stopped after a checkpoint"):
        study.repeat(again(best.number, 9, 10, 11), executor="inline", on_event=stop)
    kept = summary(study)
    assert kept[best.number][-1][-1][2] is JobState.WAITING


@pytest.mark.slow
def test_trunks_are_cooled_down_side_by_side(tmp_path: Path) -> None:
    study = searched(tmp_path)
    trained = [trial for trial in study.trials if trial.rung >= 0]
    jobs = study.cool_down(trained, executor="processes", n_jobs=2)
    assert {(job.kind, job.state) for job in jobs} == {(JobKind.EXTEND, JobState.DONE)}
    assert [job.number for job in jobs] == [trial.number for trial in trained]
    again_jobs = study.repeat(again(trained[0].number, 7, 8), executor="processes", n_jobs=2)
    assert {job.state for job in again_jobs} == {JobState.DONE}


def test_what_repeats_left_is_deleted_and_their_scores_stay(tmp_path: Path) -> None:
    study = searched(tmp_path)
    best = study.best_trials[0]
    first, second = study.repeat(again(best.number, 4, 5), executor="inline")
    others = {entry.path for entry in study.store.checkpoints("toy")} - {second.checkpoint_out}
    freed = delete_repeats(study.store, "toy", keep=[first.checkpoint_out])
    assert freed > 0
    assert {entry.path for entry in study.store.checkpoints("toy")} == others
    assert not (study.checkpoint_root / second.checkpoint_out).exists()
    assert (study.checkpoint_root / first.checkpoint_out).exists()
    (stored,) = study.repeat(again(best.number, 5), executor="inline")
    assert (stored.id, stored.metrics, stored.checkpoint_out) == (second.id, second.metrics, "")


def test_a_winner_is_trained_on_from_its_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    study = make_study(tmp_path)
    toy = Toy(log=str(log))
    study.optimize(toy, n_trials=4, executor="inline")
    best = study.best_trials[0]
    before = len(log.read_text().splitlines())
    job = study.extend(best, train_bytes=9_000, options={"steps": 20, "cooldown": True})
    assert job.state is JobState.DONE
    assert (job.kind, job.train_bytes, job.options["cooldown"]) == (JobKind.EXTEND, 9_000, True)
    steps = [int(line.split()[1]) for line in log.read_text().splitlines()[before:]]
    assert steps == list(range(9, 20))
    assert study.extend(best, train_bytes=9_000, options={"steps": 20, "cooldown": True}) == job
    assert study.trials[best.number].rung == best.rung


def test_an_extension_needs_a_checkpoint(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.optimize(Toy(checkpoints=False), n_trials=2, executor="inline")
    with pytest.raises(CheckpointError, match="trial 0 has no checkpoint"):
        study.extend(0, train_bytes=5000)


def test_a_failed_extension_is_said(tmp_path: Path) -> None:
    study = make_study(tmp_path, start=[Point(x=0, y=0)])
    study.optimize(Toy(), n_trials=1, executor="inline")
    with pytest.raises(EvaluationError, match="this column is broken"):
        study.extend(
            0, train_bytes=5000, options={"steps": 20}, evaluator=Toy(trouble={"0": "fail"})
        )
    assert study.trials[0].state is TrialState.COMPLETE

"""Jobs under leases: each once, by its owner only, lost ones again."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsmith.errors import StoreError
from archsmith.store.records import JobKind, JobState, NewJob
from archsmith.store.store import Store, connect
from archsmith.trial import Proposal, TrialState
from helpers_study import Point


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = connect(tmp_path / "a.db", create=True, clock=clock)
    store.create_study("x", spec={"a": 1}, seed=7)
    yield store
    store.close()


def add(store: Store, number: int, **parts: object) -> None:
    job = NewJob(number=number, rung=0, train_bytes=100, fraction=0.1, **parts)  # type: ignore[arg-type]
    proposal = Proposal(architecture=Point(x=number, y=0), strategy="toy", parents=(1, 2), note="n")
    assert store.add_trial("x", proposal, number=number, static_metrics={"file_bytes": 5}, job=job)


def claim(store: Store, owner: str = "a", **parts: object):
    return store.queue.claim("x", owner=owner, lease_seconds=60, **parts)  # type: ignore[arg-type]


def test_a_trial_comes_back_as_it_was(store: Store) -> None:
    add(store, 0)
    job = claim(store, threads=3)
    assert store.queue.finish(
        job,
        metrics={"bits_per_byte": 1.5},
        curve=[(10, 0.5, "bits_per_byte", 3.0), (20, 1.0, "bits_per_byte", 2.0)],
        checkpoint="trial-00000/rung-0/checkpoint",
        checkpoint_bytes=77,
        details={"recipe": {"learning_rate": 0.1}, "flops": 5.0},
        cpu_seconds=2.0,
        wall_seconds=1.0,
    )
    (trial,) = store.trials("x")
    assert trial.architecture == Point(x=0, y=0)
    assert (trial.parents, trial.note, trial.strategy) == ((1, 2), "n", "toy")
    assert trial.metrics == {"file_bytes": 5, "bits_per_byte": 1.5}
    assert (trial.state, trial.rung, trial.train_seconds) == (TrialState.COMPLETE, 0, 1.0)
    assert trial.curve == ((10, 0.5, "bits_per_byte", 3.0), (20, 1.0, "bits_per_byte", 2.0))
    (done,) = trial.jobs
    assert (done.threads, done.attempt, done.cpu_seconds) == (3, 1, 2.0)
    assert done.details["recipe"] == {"learning_rate": 0.1}
    (checkpoint,) = store.checkpoints("x")
    assert (checkpoint.path, checkpoint.num_bytes, checkpoint.number) == (
        done.checkpoint_out,
        77,
        0,
    )
    assert trial.observation.values(["bits_per_byte"]) == (1.5,)
    assert store.trial("x", 0) == trial
    assert store.ledger("x")[0].flops == 5.0


def test_a_continued_trunk_enters_only_what_is_new(store: Store) -> None:
    """A trunk tells its FLOPs from its start on; a branch beside it counts as well."""
    add(store, 0)
    store.queue.finish(claim(store), metrics={}, checkpoint="rung-0", details={"flops": 100.0})
    for rung, told in ((1, {"flops": 300.0}), (2, {"flops": 300.0, "branch_flops": 50.0})):
        more = NewJob(number=0, rung=rung, fraction=0.5, train_bytes=9, checkpoint_in="rung-0")
        store.queue.enqueue("x", more)
        store.queue.finish(claim(store), metrics={}, details=told)
    assert [entry.flops for entry in store.ledger("x")] == [100.0, 200.0, 50.0]


def test_what_follows_an_inherited_score_is_new_from_its_start(store: Store) -> None:
    """The first job tells what the shared weights took; a trunk begun after it is no part of it."""
    add(store, 0)
    shared = {"flops": 1000.0, "inherited": True}
    store.queue.finish(claim(store), metrics={}, checkpoint="mark", details=shared)
    for target, told in ((9, 70.0), (12, 90.0)):
        alone = {"rung": 0, "fraction": 0.5, "label": str(target), "checkpoint_in": "mark"}
        store.queue.enqueue("x", NewJob(number=0, kind=JobKind.EXTEND, train_bytes=target, **alone))
        store.queue.finish(claim(store), metrics={}, details={"flops": told})
    assert [entry.flops for entry in store.ledger("x")] == [1000.0, 70.0, 20.0]


def test_jobs_are_claimed_oldest_first_and_once(store: Store) -> None:
    for number in range(3):
        add(store, number)
    assert [claim(store).number for _ in range(3)] == [0, 1, 2]
    assert claim(store) is None


def test_a_number_and_a_point_are_given_once(store: Store) -> None:
    add(store, 0)
    other = Proposal(architecture=Point(x=9, y=9), strategy="toy")
    assert not store.add_trial("x", other, number=0, static_metrics={})
    same = Proposal(architecture=Point(x=0, y=0), strategy="toy")
    assert not store.add_trial("x", same, number=1, static_metrics={})
    assert len(store.trials("x")) == 1
    assert store.find_trial("x", Point(x=0, y=0)) == 0
    assert store.find_trial("x", Point(x=9, y=9)) is None


def test_the_same_job_is_queued_once(store: Store) -> None:
    add(store, 0)
    assert store.queue.enqueue("x", NewJob(number=0, rung=0)) is None
    assert store.queue.enqueue("x", NewJob(number=0, rung=1)) is not None
    assert store.queue.enqueue("x", NewJob(number=0, rung=0, seed=1)) is not None


def test_only_the_owner_finishes(store: Store, clock: Clock) -> None:
    add(store, 0)
    zombie = claim(store, "zombie")
    clock.now += 61
    heir = claim(store, "heir")
    assert (heir.id, heir.attempt, heir.losses) == (zombie.id, 2, 1)
    assert not store.queue.renew(zombie, lease_seconds=60)
    assert not store.queue.finish(zombie, metrics={"bits_per_byte": 0.1})
    assert not store.queue.fail(zombie, "too late")
    assert not store.queue.preempt(zombie)
    assert store.queue.finish(heir, metrics={"bits_per_byte": 2.0})
    assert not store.queue.finish(heir, metrics={"bits_per_byte": 0.1})
    assert store.trials("x")[0].metrics["bits_per_byte"] == 2.0


def test_a_renewed_lease_holds(store: Store, clock: Clock) -> None:
    add(store, 0)
    job = claim(store)
    clock.now += 50
    assert store.queue.renew(job, lease_seconds=60)
    clock.now += 50
    assert claim(store, "other") is None
    assert store.queue.finish(job, metrics={"bits_per_byte": 1.0})


def test_the_third_loss_puts_a_job_aside(store: Store, clock: Clock) -> None:
    add(store, 0)
    for _ in range(3):
        assert claim(store) is not None
        clock.now += 61
    assert claim(store) is None
    (trial,) = store.trials("x")
    assert trial.state is TrialState.FAILED
    assert trial.reason == "put aside after 3 attempts: its worker stopped answering"
    assert [entry.seconds for entry in store.ledger("x")] == [60.0] * 3


def test_preempted_is_not_failed(store: Store) -> None:
    add(store, 0)
    for _ in range(5):
        job = claim(store, threads=2)
        assert store.queue.preempt(job, checkpoint="half", wall_seconds=1.5, cpu_seconds=1.0)
    job = claim(store, threads=8)
    assert (job.checkpoint_in, job.losses, job.attempt, job.wall_seconds) == ("half", 0, 6, 7.5)
    assert job.threads == 2  # of the first claim
    assert store.trials("x")[0].state is TrialState.PENDING


def test_a_failure_keeps_its_reason(store: Store) -> None:
    add(store, 0)
    assert store.queue.fail(claim(store), "it broke", traceback="Traceback ...")
    (trial,) = store.trials("x")
    assert (trial.state, trial.reason) == (TrialState.FAILED, "it broke")
    assert trial.jobs[0].error == "it broke\nTraceback ..."
    assert claim(store) is None


def test_a_retryable_failure_is_tried_again(store: Store) -> None:
    add(store, 0)
    store.queue.fail(claim(store), "the disk is full", retryable=True)
    assert store.trials("x")[0].jobs[0].state is JobState.LOST
    assert store.queue.finish(claim(store), metrics={"bits_per_byte": 1.0})
    assert store.trials("x")[0].reason == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_no_number_is_a_failure(store: Store, value: float) -> None:
    add(store, 0)
    store.queue.finish(claim(store), metrics={"bits_per_byte": value, "train_seconds": 1.0})
    (trial,) = store.trials("x")
    assert trial.state is TrialState.FAILED
    assert trial.reason == f"not a finite number: bits_per_byte is {value}"
    assert "bits_per_byte" not in trial.metrics


def test_details_that_are_no_json_are_a_failure(store: Store) -> None:
    add(store, 0)
    store.queue.finish(claim(store), metrics={"bits_per_byte": 1.0}, details={"path": Path("a")})
    assert store.trials("x")[0].reason.startswith("details are not JSON values")


def test_kinds_are_claimed_apart(store: Store) -> None:
    proposal = Proposal(architecture=3, strategy="toy")
    job = NewJob(number=0, kind=JobKind.MEASURE)
    store.add_trial("x", proposal, number=0, static_metrics={}, job=job)
    assert claim(store) is None
    measured = claim(store, kinds=(JobKind.MEASURE,))
    store.queue.finish(measured, metrics={"decode_ms_per_token": 2.0})
    (trial,) = store.trials("x")
    assert (trial.state, trial.metrics) == (TrialState.PENDING, {"decode_ms_per_token": 2.0})


def test_live_readings(store: Store, clock: Clock) -> None:
    add(store, 0)
    job = claim(store)
    assert store.queue.running("x")[0].fraction_done == 0.0
    clock.now += 5
    reading = {
        "step": 3,
        "train_bytes": 30,
        "fraction_done": 0.25,
        "metrics": {"bits_per_byte": 3.0, "loss": float("nan")},
    }
    points = [(10, 1.0, "bits_per_byte", 4.0), (30, 2.0, "bits_per_byte", 3.0)]
    store.queue.report_progress(job, reading, curve=points)
    (running,) = store.queue.running("x")
    assert (running.number, running.step, running.fraction_done) == (0, 3, 0.25)
    assert (running.metrics, running.progress_at) == ({"bits_per_byte": 3.0}, 1005.0)
    # a resumed job goes over the same bytes again
    store.queue.report_progress(job, reading, curve=[(30, 2.5, "bits_per_byte", 3.1)], replace=True)
    assert [row[3] for row in store.trials("x")[0].curve] == [4.0, 3.1]
    store.queue.finish(job, metrics={"bits_per_byte": 1.0}, curve=[(40, 3.0, "bits_per_byte", 2.0)])
    assert [row[3] for row in store.trials("x")[0].curve] == [4.0, 3.1, 2.0]
    assert store.queue.running("x") == []


def test_only_changes_are_read(store: Store) -> None:
    add(store, 0)
    add(store, 1)
    revision, changed = store.changes("x", since=-1)
    assert [trial.number for trial in changed] == [0, 1]
    assert store.changes("x", since=revision) == (revision, [])
    claim(store)
    revision, changed = store.changes("x", since=revision)
    assert [trial.number for trial in changed] == [0]
    assert changed[0].jobs[0].state is JobState.LEASED
    store.set_eliminated("x", 1, 0)
    assert [t.eliminated_rung for t in store.changes("x", since=revision)[1]] == [0]


def test_notes_ledger_and_stop(store: Store) -> None:
    store.put_note("x", "corpus", {"bytes": 5})
    store.put_note("x", "corpus", {"bytes": 6})
    store.put_note("x", "arms", [1, 2])
    assert store.notes("x") == {"arms": [1, 2], "corpus": {"bytes": 6}}
    store.spend("x", "calibrate", seconds=3.0, flops=1e9)
    assert [(e.phase, e.seconds, e.flops, e.number) for e in store.ledger("x")] == [
        ("calibrate", 3.0, 1e9, None)
    ]
    assert not store.stop_requested("x")
    store.request_stop("x")
    assert store.stop_requested("x")


def test_unknown_names_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no study 'y'; did you mean|no study 'y'; known: x"):
        store.trials("y")
    with pytest.raises(StoreError, match="has a study 'x' already"):
        store.create_study("x", spec={}, seed=0)
    with pytest.raises(StoreError, match="study 'x' has no trial 4"):
        store.trial("x", 4)
    with pytest.raises(StoreError, match="a point of type object cannot be stored"):
        store.find_trial("x", object())


def test_eight_processes_do_every_job_once(store: Store) -> None:
    for number in range(48):
        add(store, number)
    code = (
        "import sys, time; from archsmith.store.store import connect\n"
        "store = connect(sys.argv[1])\n"
        "while job := store.queue.claim('x', owner=sys.argv[2], lease_seconds=1e6):\n"
        "    print(job.number)\n"
        "    assert store.queue.finish(job, metrics={'bits_per_byte': job.number})\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, store.url, f"racer-{index}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(8)
    ]
    claimed = Counter[str]()
    for racer in racers:
        output, _ = racer.communicate(timeout=120)
        assert racer.returncode == 0
        claimed.update(output.split())
    assert claimed == Counter(str(number) for number in range(48))
    assert {t.metrics["bits_per_byte"] for t in store.trials("x")} == set(range(48))
    assert all(job.attempt == 1 for trial in store.trials("x") for job in trial.jobs)

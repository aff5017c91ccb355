"""Best so far against what was spent, from a real store."""

from pathlib import Path

import pytest
from example_study import LLAMA_SHAPE, MAXIMIZER, WINNER

from archsmith.report.anytime_plot import anytime_plot
from archsmith.report.certificate_facts import certificate_facts
from archsmith.report.load import load_study
from archsmith.report.study_report import AnytimePoint, StudyReport
from archsmith.store.records import JobKind, NewJob
from archsmith.store.store import Store, connect
from archsmith.trial import ArmResult, Proposal


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = connect(tmp_path / "studies.db", create=True, clock=Clock())
    found.create_study("notes", spec={"objectives": ["bits_per_byte"]}, seed=0)
    found.put_note("notes", "verdict", {"primary_baseline": "parameter maximizer", "time": 1e6 - 9})
    found.put_note("notes", "test_opened", [{"time": 2e6, "what": "search"}])
    for number, architecture in enumerate((WINNER, LLAMA_SHAPE, MAXIMIZER)):
        found.add_trial(
            "notes", Proposal(architecture=architecture, strategy="random"), number=number,
            static_metrics={}, rejected="",
            job=NewJob(number=number, rung=0, fraction=0.1, train_bytes=1000),
        )  # fmt: skip
    return found


def finish(
    store: Store, score: float, flops: float, *, seconds: float = 10.0, inherited: bool = False
) -> int:
    job = store.queue.claim("notes", owner="worker", lease_seconds=60)
    assert job is not None
    store.queue.finish(
        job, metrics={"bits_per_byte": score}, cpu_seconds=seconds, wall_seconds=2 * seconds,
        details={"flops": flops, "trunk_seconds": seconds, "inherited": inherited},
    )  # fmt: skip
    return job.number


def whole(store: Store) -> StudyReport:
    store.spend("notes", "calibration", seconds=5.0, flops=50.0)
    store.spend("notes", "prepare", seconds=1000.0)
    assert finish(store, 2.5, 100.0) == 0
    failed = store.queue.claim("notes", owner="worker", lease_seconds=60)
    assert failed is not None
    store.queue.fail(failed, "diverged", cpu_seconds=7.0, wall_seconds=7.0)
    assert finish(store, 2.6, 100.0) == 2
    store.queue.enqueue("notes", NewJob(number=0, rung=1, fraction=0.3, train_bytes=3000))
    finish(store, 2.2, 300.0, seconds=20.0)
    winner = ArmResult(
        name="search winner", kind="search", trial=0, metrics={"bits_per_byte": 1.9},
        architecture=WINNER.model_dump(mode="json"),
        curve=((3000, 20.0, 2.3), (6000, 40.0, 2.0), (10000, 60.0, 1.8)),
        details={"num_threads": 2, "train_flops": 1000.0, "train_bytes": 10000},
    )  # fmt: skip
    baseline = ArmResult(
        name="parameter maximizer", kind="baseline", metrics={"bits_per_byte": 2.0},
        curve=((5000, 30.0, 2.1), (10000, 90.0, 1.9)),
        details={"train_flops": 800.0, "train_bytes": 10000},
    )  # fmt: skip
    arms = [arm.model_dump(mode="json") for arm in (winner, baseline)]
    store.put_note("notes", "arms", arms)
    store.spend("notes", "final training", seconds=40.0, flops=700.0)
    store.spend("notes", "baselines", seconds=90.0, flops=800.0)
    return load_study(store, "notes")


def test_the_search_counts_what_failed_and_its_trunks_once(store: Store) -> None:
    search, baseline = whole(store).anytime
    assert search.arm == "search winner"
    assert search.points == (
        AnytimePoint(15.0, 150.0, 2.5),  # calibration, trial 0
        AnytimePoint(52.0, 450.0, 2.2),  # trial 1 failed, trial 2 was worse, trial 0 went on
        AnytimePoint(52.0 + 40.0, 450.0 + 300.0, 2.0),  # two threads, from the trunk's 300 FLOPs on
        AnytimePoint(52.0 + 80.0, 450.0 + 700.0, 1.8),
    )
    assert baseline.points == (AnytimePoint(30.0, 400.0, 2.1), AnytimePoint(90.0, 800.0, 1.9))


def test_what_a_baseline_tried_first_is_part_of_what_it_cost(store: Store) -> None:
    whole(store)
    arms = store.notes("notes")["arms"]
    tuning = {"runs": [], "seconds": 20.0, "flops": 150.0}
    arms[1]["details"] |= {"tuning": tuning, "num_threads": 2}
    store.put_note("notes", "arms", arms)
    report = load_study(store, "notes")
    _, baseline = report.anytime
    assert baseline.points[-1] == AnytimePoint(2 * (20.0 + 90.0), 150.0 + 800.0, 1.9)


def test_shared_weights_and_the_trunk_that_follows_them_both_count(store: Store) -> None:
    finish(store, 2.5, 500.0, inherited=True)  # it trained what all inherit
    finish(store, 2.6, 0.0, inherited=True)
    finish(store, 2.7, 0.0, inherited=True)
    alone = NewJob(number=0, kind=JobKind.EXTEND, rung=0, fraction=0.1, train_bytes=3000)
    store.queue.enqueue("notes", alone)
    finish(store, 2.4, 300.0, seconds=20.0)
    winner = ArmResult(
        name="search winner", kind="search", trial=0, metrics={"bits_per_byte": 1.9},
        architecture=WINNER.model_dump(mode="json"), curve=((10000, 60.0, 1.8),),
        details={"num_threads": 1, "train_flops": 1000.0, "train_bytes": 10000},
    )  # fmt: skip
    store.put_note("notes", "arms", [winner.model_dump(mode="json")])
    (search,) = load_study(store, "notes").anytime
    assert search.points == (
        AnytimePoint(10.0, 500.0, 2.5),
        # from the 20 seconds and 300 FLOPs on that its own training had taken
        AnytimePoint(50.0 + 40.0, 800.0 + 700.0, 1.8),
    )


def test_a_search_under_way_has_a_curve(store: Store) -> None:
    finish(store, 2.5, 100.0)
    finish(store, 2.6, 100.0)
    (search,) = load_study(store, "notes").anytime
    assert search.arm == "search"
    # nothing better came, and more was spent
    assert search.points == (AnytimePoint(10.0, 100.0, 2.5), AnytimePoint(20.0, 200.0, 2.5))


def test_the_plots_and_facts_of_the_page(store: Store) -> None:
    empty = load_study(store, "notes")
    assert anytime_plot(empty, "flops") == ""
    report = whole(store)
    for against in ("cpu_seconds", "flops"):
        assert "search winner: 1.8000" in anytime_plot(report, against)
    lines = certificate_facts(report)["lines"]
    assert "were fixed 1970-01-12 13:46:31 UTC, before any training." in lines[0]
    assert "was opened once: 1970-01-24 03:33:20 UTC for the search's final" in lines[1]
    assert "cannot be told: 2 scored trials" in lines[2]
    assert certificate_facts(report)["groups"] == []


def test_a_comparison_fixed_late_is_said_so(store: Store) -> None:
    note = {"primary_baseline": "parameter maximizer", "time": 3e6}
    store.put_note("notes", "verdict", note)
    lines = certificate_facts(whole(store))["lines"]
    assert "after the first training had begun" in lines[0]

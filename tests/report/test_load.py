"""A study written to a real store is read back as the report shows it."""

from pathlib import Path

import pytest
from example_study import LLAMA_SHAPE, MAXIMIZER, WINNER

from archsmith.report.html import render_html
from archsmith.report.load import load_study, primary_baseline
from archsmith.report.spending import spending
from archsmith.report.study_report import ArmRow, StudyReport
from archsmith.report.verdict import Outcome, judge
from archsmith.store.records import JobKind, LedgerEntry, NewJob
from archsmith.store.store import Store, connect
from archsmith.trial import ArmResult, Limit, Proposal


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = connect(tmp_path / "studies.db", create=True, clock=Clock())
    limit = Limit.parse("file_bytes <= 10MiB")
    spec = {
        "objectives": ["bits_per_byte"],
        "limits": [limit.model_dump(mode="json")],
        "settings": {"timeout": 3600.0},
    }
    found.create_study("notes", spec=spec, seed=7)
    return found


def arm(name: str, kind: str, scale: float, **extra: object) -> dict[str, object]:
    return ArmResult(
        name=name,
        kind=kind,
        metrics={"bits_per_byte": scale},
        block_nats=tuple(scale * 2839.0 * (1 + 0.1 * (i % 5)) for i in range(40)),
        block_bytes=(4096,) * 40,
        **extra,
    ).model_dump(mode="json")


def with_trials(store: Store) -> StudyReport:
    def add(number: int, architecture: object, *, rejected: str = "") -> None:
        job = NewJob(number=number, rung=0, fraction=0.1, train_bytes=1000)
        assert store.add_trial(
            "notes",
            Proposal(architecture=architecture, strategy="random"),
            number=number,
            static_metrics={"file_bytes": 2e7 if rejected else 9e6},
            rejected=rejected,
            job=None if rejected else job,
        )

    add(0, WINNER)
    add(1, MAXIMIZER, rejected="file_bytes is too large")
    add(2, LLAMA_SHAPE)
    job = store.queue.claim("notes", owner="worker", lease_seconds=60)
    assert job is not None
    store.queue.report_progress(
        job,
        {"step": 1, "train_bytes": 500, "fraction_done": 0.5, "metrics": {"bits_per_byte": 3.0}},
        curve=[(500, 1.0, "bits_per_byte", 3.0), (500, 1.0, "loss", 2.0)],
    )
    return load_study(store, "notes")


def test_a_study_without_anything_is_read(store: Store) -> None:
    report = load_study(store, "notes")
    assert (report.phase, report.trials, report.arms) == ("preparation", (), ())
    assert report.limits[0].value == 10 * 2**20
    assert report.budget_seconds == 3600.0
    assert "No verdict" in render_html(report)


def test_trials_and_jobs_under_way_are_read(store: Store) -> None:
    report = with_trials(store)
    assert [trial.state for trial in report.trials] == ["pending", "rejected", "pending"]
    assert report.trials[1].broken_limits == ("file_bytes",)
    assert report.trials[0].summary == WINNER.summary()
    assert [point.bits_per_byte for point in report.trials[0].curve] == [3.0]
    (job,) = report.running
    assert (job.trial, job.fraction_done, job.bits_per_byte) == (0, 0.5, 3.0)
    assert job.seconds_left == job.seconds
    assert report.phase == "search"


def test_finished_rungs_bring_metrics_and_spending(store: Store) -> None:
    with_trials(store)
    job = store.queue.claim("notes", owner="worker", lease_seconds=60)
    assert job is not None
    assert job.number == 2
    details = {"tokens_per_second": 1234.5, "expert_imbalance": 1.2}
    store.queue.finish(
        job, metrics={"bits_per_byte": 2.5}, wall_seconds=12.0, cpu_seconds=11.0, details=details
    )
    store.spend("notes", "final training", seconds=30.0, flops=1e12)
    store.put_note("notes", "plan", {"search_seconds": 20.0, "training_seconds": 40.0})
    report = load_study(store, "notes")
    assert report.trials[2].metrics["bits_per_byte"] == 2.5
    assert report.trials[2].rung_metrics[0]["bits_per_byte"] == 2.5
    assert (report.trials[2].tokens_per_second, report.trials[2].expert_imbalance) == (1234.5, 1.2)
    assert (report.trials[0].tokens_per_second, report.trials[0].expert_imbalance) == (None, None)
    rows = {row.phase: row for row in report.ledger}
    assert (rows["search"].seconds, rows["search"].jobs) == (12.0, 1)
    assert rows["search"].planned_seconds == 20.0
    assert rows["final training"].planned_seconds == 40.0


def test_arms_are_read_and_judged(store: Store) -> None:
    best = arm("search winner", "search", 1.0, architecture=WINNER, details={"seed": 3})
    store.put_note("notes", "arms", [best, arm("largest that fits", "baseline", 1.1)])
    store.put_note("notes", "floors", {"xz": 2.4})
    report = load_study(store, "notes")
    assert report.phase == "done"
    assert [row.kind for row in report.arms] == ["search", "baseline", "floor"]
    assert report.arms[0].seed == 3
    assert report.arms[0].metrics["num_params"] == WINNER.num_params
    assert report.arms[0].summary == WINNER.summary()
    assert report.primary_baseline == "largest that fits"
    found = judge(report).primary
    assert found is not None
    assert found.difference < -0.05
    # nothing was noted of what the arms cost
    assert (found.outcome, found.reason) == (Outcome.UNDECIDED, "costs not known")


def test_the_primary_baseline_does_not_follow_the_scores() -> None:
    first = ArmRow(name="a", kind="baseline", metrics={"bits_per_byte": 1.0})
    second = ArmRow(name="b", kind="baseline", details={"role": "maximizer"})
    assert primary_baseline([first, second], {}) == "b"
    assert primary_baseline([first, second], {"primary_baseline": "a"}) == "a"
    assert primary_baseline([first], {}) == "a"
    assert primary_baseline([], {}) is None


def test_rungs_are_one_phase_and_unspent_plans_stay() -> None:
    entries = [
        LedgerEntry(phase="measure", seconds=1.0),
        LedgerEntry(phase=f"{JobKind.RUNG.value} 0", seconds=2.0, flops=5.0),
        LedgerEntry(phase=f"{JobKind.RUNG.value} 1", seconds=3.0),
    ]
    rows = spending(entries, [], {"search": 9.0, "export": 4.0})
    assert [(row.phase, row.seconds, row.planned_seconds) for row in rows] == [
        ("measuring on the device", 1.0, None),
        ("search", 5.0, 9.0),
        ("export", 0.0, 4.0),
    ]


def test_what_early_stopping_got_wrong_is_told(store: Store) -> None:
    def run(number: int, rung: int, score: float, **options: object) -> None:
        job = NewJob(
            number=number, rung=rung, fraction=0.5 * (1 + rung), train_bytes=100, options=options
        )
        store.queue.enqueue("notes", job)
        claimed = store.queue.claim("notes", owner="worker", lease_seconds=60)
        assert claimed is not None
        store.queue.finish(claimed, metrics={"bits_per_byte": score})

    for number, architecture in enumerate((WINNER, MAXIMIZER, LLAMA_SHAPE)):
        proposal = Proposal(architecture=architecture, strategy="random")
        store.add_trial("notes", proposal, number=number, static_metrics={})
    for number, score in enumerate((2.0, 2.1, 2.2)):
        run(number, 0, score)
    run(0, 1, 1.9)
    run(2, 1, 1.8, audit=True)
    report = load_study(store, "notes")
    assert (report.audited, report.false_eliminations) == ((2,), (2,))
    assert "of 1 trial that ran on, 1 should have been kept (trial 2)" in render_html(report)

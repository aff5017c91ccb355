"""Which networks with inherited scores are trained from scratch, on how much text, and who wins."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archsmith.budget import divide
from archsmith.errors import ConfigError, EvaluationError
from archsmith.report.horizon import horizon_sentence
from archsmith.report.study_report import StudyReport
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.trial import Rung, TrialState
from archsmith.workflow.inherited_finalists import InheritedSelecting
from archsmith.workflow.inheriting import (
    NOTE,
    Inheriting,
    PlannedSupernet,
    read_plan,
    settle_plan,
)
from archsmith.workflow.planning import trial_shares
from archsmith.workflow.search_config import PlanConfig
from archsmith.workflow.searching import SPENT
from archsmith.workflow.selection import FinalistRun, trained_trunk, trunk_to_extend
from archsmith.workflow.supernet_config import SupernetConfig

BUDGET = divide(3600.0)
PLANNED = PlannedSupernet(
    plan=SupernetPlan(method="single_path", train_bytes=9_000_000),
    largest="the largest",
    num_members=40,
    seconds=60.0,
    num_updates=5000,
)
RUNGS = [
    Rung(index=i, fraction=share, train_bytes=round(share * 10**7))
    for i, share in enumerate((0.03, 0.3))
]


def spent(room: float) -> dict[str, float]:
    """What the search took, so much before its end."""
    return {SPENT: BUDGET.search_seconds - room}


class Notes:
    """Notes of a study, in memory."""

    def __init__(self, **kept: Any) -> None:
        self.exist = True
        self.kept = {NOTE: {"planned": PLANNED.model_dump(mode="json")}, **kept}
        self.seconds: dict[str, float] = {}

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def put(self, key: str, value: Any) -> None:
        self.kept[key] = value

    wait = put

    def spend(self, phase: str, seconds: float) -> None:
        self.seconds[phase] = seconds

    wait_seconds = spend


class Jobs:
    """Trains nobody: a network's score is its trial's number, or none where it fails."""

    clock = staticmethod(lambda: 0.0)
    seconds_in_jobs = 0.0

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        *,
        num_slots: int = 1,
        fail: Sequence[int] = (),
        objectives: Sequence[str] = ("bits_per_byte",),
    ) -> None:
        problem = SimpleNamespace(objectives=objectives)
        self.study = SimpleNamespace(trials=list(trials), problem=problem)
        plan = PlanConfig(finalists=3)
        self.workspace = SimpleNamespace(config=SimpleNamespace(plan=plan))
        self.recipe = SimpleNamespace(cooldown_fraction=0.25)
        self.num_slots = num_slots
        self.fail = fail
        self.asked: list[tuple[list[int], int, float | None]] = []

    def train_from_scratch(
        self, trials: Sequence[TrialRecord], *, train_bytes: int, timeout: float | None
    ) -> dict[int, FinalistRun]:
        self.asked.append(([trial.number for trial in trials], train_bytes, timeout))
        return {
            trial.number: FinalistRun(seed=0, reason="diverged")
            if trial.number in self.fail
            else FinalistRun(seed=0, selection_bits_per_byte=2.0 - trial.number / 100)
            for trial in trials
        }


def job(kind: JobKind = JobKind.RUNG, **changes: Any) -> JobRecord:
    fields = {"id": 1, "study": "notes", "number": 0, "rung": 0, "fraction": 1.0, "seed": 0}
    fields |= {"train_bytes": 9_000_000, "label": "", "state": JobState.DONE}
    return JobRecord(**{**fields, "kind": kind, **changes})


def scored(number: int, bits: float, **changes: Any) -> TrialRecord:
    done = job(
        number=number,
        checkpoint_out=f"trial-{number}/inherited.json",
        details={"inherited": True, "supernet": {"train_seconds": 55.0, "train_bytes": 9_000_128}},
        metrics={"bits_per_byte": bits},
    )
    fields = {"hash": str(number), "architecture": None, "state": TrialState.COMPLETE}
    return TrialRecord(number=number, **{**fields, "strategy": "enas", "jobs": (done,), **changes})


TRIALS = [scored(n, bits) for n, bits in enumerate((1.9, 1.5, 1.4, 1.6, 1.3, 1.7))]


def selecting(
    jobs: Jobs, notes: Notes, *, seconds: float = 100.0, budget: Any = BUDGET
) -> InheritedSelecting:
    """`seconds`: of a training to the last rung."""
    return InheritedSelecting(
        jobs=jobs,  # type: ignore[arg-type]
        rungs=RUNGS,
        seconds_for=lambda network, train_bytes: seconds * train_bytes / RUNGS[-1].train_bytes,
        budget=budget,
        notes=notes,  # type: ignore[arg-type]
    )


def test_the_best_and_the_suggestion_are_trained_and_their_own_scores_decide() -> None:
    jobs, notes = Jobs(TRIALS), Notes()
    found = selecting(jobs, notes, budget=None).finalists()
    assert jobs.asked == [([4, 2, 1, 0], RUNGS[-1].train_bytes, None)]
    assert [one.trial for one in found] == [4, 2, 1, 0]
    assert found[0].search_bits_per_byte == 1.3
    assert found[0].selection_bits_per_byte == pytest.approx(1.96)
    assert all(one.cooled and one.train_bytes == 3_000_000 for one in found)
    assert notes.kept["finalists"][0]["trial"] == 4
    assert notes.kept[NOTE]["finalists"]["trained"] == 4
    assert notes.kept[NOTE]["trained"]["train_seconds"] == 55.0


def test_text_is_what_the_time_left_allows() -> None:
    jobs, notes = Jobs(TRIALS), Notes(**spent(200.0))
    selecting(jobs, notes).finalists()
    ((numbers, train_bytes, timeout),) = jobs.asked
    assert numbers == [4, 2, 1, 0]
    assert timeout == pytest.approx(200.0)
    needed = 4 * (3.0 + 1.35 * 1.25 * 100.0 * train_bytes / RUNGS[-1].train_bytes)
    assert needed == pytest.approx(200.0, rel=0.01)
    # two at a time have twice as much
    side_by_side = Jobs(TRIALS, num_slots=2)
    selecting(side_by_side, Notes(**spent(200.0))).finalists()
    assert side_by_side.asked[0][1] > 1.8 * train_bytes


def test_fewer_are_trained_where_the_first_rung_is_too_long_for_all() -> None:
    jobs = Jobs(TRIALS)
    selecting(jobs, Notes(**spent(200.0)), seconds=300.0).finalists()
    ((numbers, train_bytes, _),) = jobs.asked
    assert numbers == [4, 2, 1]
    assert RUNGS[0].train_bytes <= train_bytes < 1.5 * RUNGS[0].train_bytes


def test_with_several_objectives_they_are_spread_over_the_front() -> None:
    """The best first, as ever; the second best is dominated by it."""
    sizes = (6e5, 2e5, 5e5, 1e5, 4e5, 3e5)
    trials = [
        replace(trial, static_metrics={"file_bytes": size})
        for trial, size in zip(TRIALS, sizes, strict=True)
    ]
    jobs = Jobs(trials, objectives=("bits_per_byte", "file_bytes"))
    selecting(jobs, Notes(), budget=None).finalists()
    ((numbers, _, _),) = jobs.asked
    assert numbers[0] == 4
    assert sorted(numbers[1:3]) == [1, 3]
    assert numbers[3:] == [0]


@pytest.mark.parametrize(
    ("jobs", "room", "told"),
    [
        (Jobs(TRIALS), 5.0, "two trainings to the plan's first rung do not fit in the"),
        (Jobs(TRIALS[:1]), 200.0, "there is one candidate"),
        (Jobs(TRIALS, fail=range(6)), 200.0, "their training failed"),
    ],
)
def test_else_the_best_inherited_score_wins_and_the_report_says_so(
    jobs: Jobs, room: float, told: str
) -> None:
    notes = Notes(**spent(room))
    found = selecting(jobs, notes).finalists()
    best = min(jobs.study.trials, key=lambda trial: trial.metrics["bits_per_byte"])
    assert found[0].trial == best.number
    assert found[0].train_bytes == 0
    assert not found[0].cooled
    assert found[0].trunk is None
    sentence = horizon_sentence(StudyReport(name="notes", supernet=notes.kept[NOTE]))
    assert f"no finalist was trained from scratch: {told}" in sentence


def test_a_second_call_keeps_to_what_the_first_planned() -> None:
    notes = Notes(**spent(200.0))
    first, again = Jobs(TRIALS), Jobs(TRIALS)
    selecting(first, notes).finalists()
    notes.put(SPENT, BUDGET.search_seconds)
    selecting(again, notes).finalists()
    assert again.asked == first.asked


def test_time_that_trainings_took_before_an_interruption_counts() -> None:
    done = job(JobKind.EXTEND, number=4, wall_seconds=60.0)
    trials = [replace(t, jobs=(*t.jobs, done)) if t.number == 4 else t for t in TRIALS]
    jobs = Jobs(trials)
    selecting(jobs, Notes(**spent(200.0))).finalists()
    assert jobs.asked[0][2] == pytest.approx(140.0)


def test_without_a_score_there_is_no_winner() -> None:
    failed = scored(0, 1.0, state=TrialState.FAILED)
    with pytest.raises(EvaluationError, match="no candidate has a score with inherited weights"):
        selecting(Jobs([failed]), Notes()).finalists()


def test_an_inherited_score_is_no_trunk() -> None:
    trial = scored(3, 1.2)
    (finalist, *_) = selecting(Jobs([trial]), Notes()).finalists()
    assert trained_trunk(trial) is None
    assert trunk_to_extend(trial, finalist) is None
    short, long = (
        job(JobKind.EXTEND, id=n, train_bytes=n * 100, checkpoint_out=f"trunk-{n}") for n in (2, 3)
    )
    failed = job(JobKind.EXTEND, id=4, train_bytes=900, state=JobState.FAILED)
    trained = replace(trial, jobs=(*trial.jobs, long, short, failed))
    assert trunk_to_extend(trained, finalist) == long
    own = job(details={}, checkpoint_out="trunk")
    assert trained_trunk(replace(trial, jobs=(own, long))) == own


def test_the_report_tells_where_scores_come_from() -> None:
    notes = Notes()
    before = horizon_sentence(StudyReport(name="notes", supernet=notes.kept[NOTE]))
    assert before == (
        "Scores of the search are inherited from one supernet (method single_path, 40 networks in "
        "the largest, trained on 8.6 MiB of text): they rank networks, and are not what these "
        "reach when trained alone."
    )
    selecting(Jobs(TRIALS), notes, budget=None).finalists()
    after = horizon_sentence(StudyReport(name="notes", supernet=notes.kept[NOTE]))
    assert "of text in 55s): they rank" in after
    assert after.endswith(
        " The winner was chosen among 4 finalists trained from scratch, on 2.9 MiB of text each, "
        "by the selection split."
    )


def test_a_supernet_leaves_time_for_scores_and_finalists() -> None:
    plan, section = PlanConfig(), SupernetConfig(share=0.4)
    assert trial_shares(plan, BUDGET, supernet=section) == pytest.approx((0.58, 0.76))


def test_a_search_may_end_with_a_dozen_scores() -> None:
    twelve = [scored(number, 1.0) for number in range(12)]
    assert selecting(Jobs(twelve), Notes()).has_enough()
    assert not selecting(Jobs(twelve[1:]), Notes()).has_enough()


def test_few_updates_are_warned_of() -> None:
    assert not PLANNED.warning
    few = PLANNED.model_copy(update={"num_updates": 50})
    assert "the supernet gets 50 updates" in few.warning


def test_a_plan_is_made_once_and_kept(tmp_path: Path) -> None:
    section = SupernetConfig(method="single_path")

    class Fixed(Inheriting):
        def plan(self, **_: Any) -> PlannedSupernet:
            return PLANNED

    def with_section(given: SupernetConfig) -> Inheriting:
        return Fixed(
            section=given,
            workspace=SimpleNamespace(),  # type: ignore[arg-type]
            trunk=lambda recipe: None,
            search_seconds=None,
        )

    def settled(inheriting: Inheriting | None, notes: Notes) -> PlannedSupernet | None:
        return settle_plan(inheriting, notes, clock=lambda: 0.0)  # type: ignore[arg-type]

    notes = Notes(**{NOTE: None})
    notes.exist = False
    assert settled(None, notes) is None
    assert settled(with_section(section), notes) == PLANNED
    assert read_plan(notes) == PLANNED  # type: ignore[arg-type]
    notes.exist = True
    assert settled(with_section(section), notes) == PLANNED
    other = with_section(SupernetConfig(method="sandwich"))
    for given in (other, None):
        with pytest.raises(ConfigError, match="give another study_name"):
            settled(given, notes)

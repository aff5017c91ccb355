"""Who is a finalist, and who of them wins."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Split
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.study import load_study
from archsmith.trial import TrialState
from archsmith.workflow.selection import Finalist, Horizon, choose_finalists, readings, select
from helpers_workflow import FinishedSearch

# (seconds, bits per byte) after each rung a trial finished
Curve = Sequence[tuple[float, float]]


def at(seconds: float) -> Horizon:
    return Horizon(seconds, in_bytes=False)


def job(number: int, rung: int, seconds: float, bits: float, state: JobState) -> JobRecord:
    return JobRecord(
        id=10 * number + rung,
        study="s",
        number=number,
        kind=JobKind.RUNG,
        rung=rung,
        fraction=0.1 * (rung + 1),
        train_bytes=1000 * (rung + 1),
        seed=0,
        label="",
        state=state,
        metrics={"bits_per_byte": bits, "train_seconds": seconds},
    )


def trial(number: int, curve: Curve, *, failed_next: bool = False) -> TrialRecord:
    jobs = [job(number, r, *reading, JobState.DONE) for r, reading in enumerate(curve)]
    if failed_next:
        jobs.append(job(number, len(curve), 1.0, 0.0, JobState.FAILED))
    return TrialRecord(
        number=number,
        hash=str(number),
        architecture=number,
        state=TrialState.COMPLETE if curve else TrialState.REJECTED,
        strategy="random",
        jobs=tuple(jobs),
    )


def numbers(trials: Sequence[TrialRecord]) -> list[int]:
    return [one.number for one in trials]


CURVES = st.lists(
    st.lists(st.floats(0.5, 8.0), min_size=0, max_size=3), min_size=1, max_size=12
).map(
    lambda all_bits: [
        [(10.0 * 3**rung, bits) for rung, bits in enumerate(bits_of_one)]
        for bits_of_one in all_bits
    ]
)


@given(CURVES, st.integers(1, 4), st.floats(1.0, 1e5))
@settings(max_examples=60, deadline=None)
def test_the_suggestion_is_always_a_finalist(
    curves: list[Curve], count: int, seconds: float
) -> None:
    trials = [trial(number, curve) for number, curve in enumerate(curves)]
    chosen = numbers(choose_finalists(trials, count=count, horizon=at(seconds)))
    assert len(chosen) == len(set(chosen)) <= count + 1
    assert (0 in chosen) == bool(curves[0])
    assert all(curves[number] for number in chosen)
    assert len(chosen) >= min(count, sum(map(bool, curves)))


def test_the_best_readings_are_chosen() -> None:
    trials = [trial(n, [(10.0, bits)]) for n, bits in enumerate((3.0, 2.0, 1.0, 2.5))]
    assert numbers(choose_finalists(trials, count=2, horizon=at(10.0))) == [
        2,
        1,
        0,
    ]


def test_equal_time_counts_and_not_equal_text() -> None:
    """The slow one read the same text in thrice the time: at the horizon it will be behind."""
    slow = trial(1, [(30.0, 2.3), (90.0, 1.9)])
    quick = trial(2, [(10.0, 2.3), (30.0, 1.95)])
    chosen = choose_finalists([slow, quick], count=2, horizon=at(1000.0))
    assert numbers(chosen) == [2, 1]


def test_only_finished_rungs_are_readings() -> None:
    found = readings(trial(3, [(5.0, 2.0), (15.0, 1.5)], failed_next=True), at(1.0))
    assert [tuple(reading) for reading in found] == [(5.0, 1000, 2.0), (15.0, 2000, 1.5)]
    assert choose_finalists([trial(0, []), trial(1, [])], count=3, horizon=at(1.0)) == []


def test_the_winner_is_scored_after_quantization_on_unseen_text(finished: FinishedSearch) -> None:
    """Every trial of the finished search as a finalist, by its trunk as it lies there."""
    pipeline = finished.pipeline()
    root = load_study(study_name="notes", storage=pipeline.store).checkpoint_root
    trials = [one for one in pipeline.store.trials("notes") if one.rung >= 0]

    def weights_of(one: TrialRecord) -> tuple[Path, bool]:
        last = next(j for j in one.jobs if j.kind is JobKind.RUNG and j.rung == one.rung)
        return root / last.checkpoint_out, False

    found = select(
        trials,
        weights_of=weights_of,
        tokens_for=lambda size: pipeline.workspace.tokens(Split.SELECTION, size),
        protocol=pipeline.config.rung_protocol,
        horizon=at(0.0),
        trials=trials,
        tasks_of=lambda architecture, weights: {},
    )
    assert len(found) == len(trials) >= 2
    # at a horizon already reached, the selection split alone decides
    scores = [one.selection_bits_per_byte for one in found]
    assert scores == sorted(scores)
    for one in found:
        assert one.predicted_bits_per_byte == pytest.approx(one.selection_bits_per_byte)
        assert one.selection_bits_per_byte != one.search_bits_per_byte
        assert abs(one.selection_bits_per_byte - one.search_bits_per_byte) < 0.3


def test_the_search_noted_its_finalists(finished: FinishedSearch) -> None:
    stored = finished.pipeline().store.notes("notes")["finalists"]
    assert 0 in {one["trial"] for one in stored}
    predicted = [one["predicted_bits_per_byte"] for one in stored]
    assert predicted == sorted(predicted)
    assert all(one["cooled"] for one in stored)


def test_errors_on_the_users_task_decide_first() -> None:
    shared = {
        "rung": 1,
        "train_bytes": 5000,
        "search_bits_per_byte": 2.0,
        "selection_bits_per_byte": 2.0,
        "half_width": 0.0,
        "cooled": True,
    }
    able = Finalist(trial=1, predicted_bits_per_byte=1.9, task_errors={"task:a": 0.1}, **shared)
    fluent = Finalist(trial=2, predicted_bits_per_byte=1.5, task_errors={"task:a": 0.3}, **shared)
    assert sorted([fluent, able], key=lambda one: one.rank) == [able, fluent]

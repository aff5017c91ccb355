"""Which of several candidates are finalists where there are several objectives."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.halving.ranking import first_front
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.trial import TrialState
from archsmith.workflow.finalist_choice import (
    choose_finalists,
    fit_cooldowns,
    most_volume,
    take_best,
)
from archsmith.workflow.finalist_front import front_among
from archsmith.workflow.foresight import Foresight, Horizon
from archsmith.workflow.selection import Finalist

BOTH = ("bits_per_byte", "file_bytes")
POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


def trial(number: int, file_bytes: float, *curve: tuple[float, float]) -> TrialRecord:
    """`curve`: (seconds, bits per byte) after each rung."""
    return TrialRecord(
        number=number,
        hash=str(number),
        architecture=number,
        state=TrialState.COMPLETE,
        strategy="random",
        static_metrics={"file_bytes": file_bytes},
        jobs=tuple(
            JobRecord(
                id=10 * number + rung,
                study="s",
                number=number,
                kind=JobKind.RUNG,
                rung=rung,
                fraction=0.1 * (rung + 1),
                train_bytes=1000 * (rung + 1),
                seed=0,
                label="",
                state=JobState.DONE,
                metrics={"bits_per_byte": bits, "train_seconds": seconds},
            )
            for rung, (seconds, bits) in enumerate(curve)
        ),
    )


def numbers(trials: Sequence[TrialRecord]) -> list[int]:
    return [one.number for one in trials]


def taken(scores: Sequence[tuple[float, float]], *, count: int) -> list[int]:
    """Of trials with these losses and bytes."""
    trials = [trial(number, size, (1.0, loss)) for number, (loss, size) in enumerate(scores)]
    predicted = {number: loss for number, (loss, _) in enumerate(scores)}
    return numbers(take_best(trials, count=count, predicted=predicted, objectives=BOTH))


@settings(max_examples=40, deadline=None)
@given(POINTS, st.integers(1, 6))
def test_the_front_is_taken_before_anybody_else(points: list[tuple[int, int]], count: int) -> None:
    scores = sorted((float(loss), 2.0**size) for loss, size in points)
    found = taken(scores, count=count)
    assert found[0] == 0
    assert len(found) == len(set(found)) == min(count, len(scores))
    front = set(first_front(scores)) | {0}
    assert len(front & set(found)) == min(count, len(front))


def test_it_is_spread_over_the_front() -> None:
    """Two lie close to the best; the third is far from all and adds more than both."""
    scores = [(2.00, 400e3), (2.01, 390e3), (2.02, 380e3), (2.30, 100e3), (2.35, 350e3)]
    assert taken(scores, count=2) == [0, 3]
    assert taken(scores, count=4) == [0, 3, 2, 1]
    assert taken(scores, count=5) == [0, 3, 2, 1, 4]


def test_an_objective_without_extent_decides_nothing() -> None:
    assert most_volume([(2.0, 1.0), (2.0, 1.0), (2.5, 1.0)], count=3) == [0, 1]
    assert most_volume([], count=3) == []


def test_with_one_objective_the_lowest_losses_are_taken() -> None:
    trials = [trial(n, 2.0**n, (1.0, loss)) for n, loss in enumerate((2.3, 2.1, 2.2, 2.0))]
    predicted = {0: 2.3, 1: 2.1, 2: 2.2, 3: 2.0}
    for objectives in (("bits_per_byte",), ("file_bytes",)):
        found = take_best(trials, count=3, predicted=predicted, objectives=objectives)
        assert numbers(found) == [3, 1, 2]


def test_the_loss_is_that_of_the_horizon() -> None:
    """The slow one is ahead at equal text and will be dominated at equal time."""
    slow = trial(1, 2e5, (30.0, 2.3), (90.0, 1.9))
    quick = trial(2, 1e5, (10.0, 2.3), (30.0, 1.95))
    small = trial(3, 5e4, (10.0, 2.6), (30.0, 2.5))
    trials = [slow, quick, small]

    def chosen(seconds: float) -> list[int]:
        horizon = Horizon(seconds, in_bytes=False)
        foresight = Foresight.of_trials(trials, horizon, lambda *given: 0.0)
        return numbers(choose_finalists(trials, count=2, foresight=foresight, objectives=BOTH))

    assert chosen(0.0)[0] == 1
    assert chosen(1000.0) == [2, 3]


def test_what_began_the_search_is_a_finalist_beside_the_front() -> None:
    trials = [trial(0, 3e5, (1.0, 3.0)), trial(1, 2e5, (1.0, 2.0)), trial(2, 1e5, (1.0, 2.5))]
    foresight = Foresight.of_trials(trials, Horizon(0.0, in_bytes=False), lambda *given: 0.0)
    found = choose_finalists(trials, count=2, foresight=foresight, objectives=BOTH)
    assert numbers(found) == [1, 2, 0]


@pytest.mark.parametrize(
    ("room", "slots", "kept"),
    [(0.0, 1, [5, 0]), (40.0, 1, [5, 0, 4]), (59.0, 1, [5, 7, 0]), (40.0, 2, [5, 7, 0, 4])],
)
def test_as_many_are_cooled_down_as_there_is_time_for(
    room: float, slots: int, kept: list[int]
) -> None:
    """Ten seconds each, and thirty of the second; the first and trial 0 are asked for in any
    case."""
    trials = [trial(number, 1e5, (1.0, 2.0)) for number in (5, 7, 0, 4)]
    found = fit_cooldowns(
        trials,
        seconds_of=lambda one: 30.0 if one.number == 7 else 10.0,
        room_seconds=room,
        num_slots=slots,
    )
    assert numbers(found) == kept


def finalist(number: int, predicted: float, **errors: float) -> Finalist:
    return Finalist(
        trial=number,
        rung=0,
        train_bytes=1000,
        search_bits_per_byte=2.0,
        selection_bits_per_byte=2.0,
        predicted_bits_per_byte=predicted,
        half_width=0.0,
        cooled=True,
        task_errors=errors,
    )


def test_the_front_among_finalists_is_that_of_their_files() -> None:
    """What the search scored, the same for all here, counts no more."""
    trials = {n: trial(n, size, (1.0, 2.0)) for n, size in enumerate((4e5, 3e5, 3e5, 1e5))}
    found = [finalist(number, 1.5 + number / 10) for number in range(4)]
    assert [one.trial for one in front_among(found, trials, BOTH)] == [0, 1, 3]
    able = [finalist(0, 1.5, a=0.3), finalist(1, 1.6, a=0.3), finalist(2, 1.7, a=0.1)]
    for objectives, front in ((("a", "file_bytes"), [2]), (("a", *BOTH), [0, 1, 2])):
        assert [one.trial for one in front_among(able, trials, objectives)] == front
    # a network that cannot be asked the task is compared with nobody
    assert front_among(found, trials, ("a", "file_bytes")) == []

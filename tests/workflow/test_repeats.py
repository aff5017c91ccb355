"""Which finalists are trained again, and what their trainings together decide."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.workflow.repeats import (
    USUAL_NOISE,
    Candidate,
    Training,
    contenders,
    may_pay,
    plan_trainings,
    seed_noise,
    weigh,
)
from archsmith.workflow.selection import Finalist, FinalistRun, ranked


def run(
    bits: float | None, *, seed: int = 0, factor: float = 1.0, error: float = 0.0
) -> FinalistRun:
    errors = {"task:a.jsonl": error}
    return FinalistRun(
        seed=seed, rate_factor=factor, selection_bits_per_byte=bits, task_errors=errors
    )


def finalist(
    trial: int, bits: float, *others: FinalistRun, half_width: float = 0.0, gain: float = 0.5
) -> Finalist:
    """Of which the search's own training scored `bits`, and `gain` is predicted to be left."""
    return Finalist(
        trial=trial,
        rung=1,
        train_bytes=5000,
        search_bits_per_byte=bits,
        selection_bits_per_byte=bits,
        predicted_bits_per_byte=bits - gain,
        half_width=half_width,
        cooled=True,
        task_errors={"task:a.jsonl": 0.0},
        runs=(run(bits), *others),
    )


def order(finalists: Sequence[Finalist]) -> list[int]:
    return [one.trial for one in finalists]


def decided(*finalists: Finalist, noise: float = USUAL_NOISE) -> list[Finalist]:
    return ranked([weigh(one, noise=noise) for one in finalists])


def planned(
    candidates: Sequence[Candidate], *, room: float | None = None, slots: int = 1, fresh: int = 1
) -> list[Training]:
    return plan_trainings(
        candidates,
        seed=10,
        fresh_seeds=fresh,
        rate_factors=(0.5, 2.0),
        num_slots=slots,
        room_seconds=room,
    )


def test_the_mean_over_seeds_decides() -> None:
    lucky = finalist(1, 2.00, run(2.06, seed=1))
    steady = finalist(2, 2.01, run(2.02, seed=1))
    first, second = decided(lucky, steady)
    assert (first.trial, second.trial) == (2, 1)
    assert first.selection_bits_per_byte == pytest.approx(2.015)
    assert first.predicted_bits_per_byte == pytest.approx(1.515)
    assert second.predicted_bits_per_byte == pytest.approx(1.53)
    assert first.runs == steady.runs
    assert first.rate_factor == second.rate_factor == 1.0


def test_equal_means_go_to_the_older_trial() -> None:
    later = finalist(7, 2.25, run(2.75, seed=1))
    older = finalist(3, 2.75, run(2.25, seed=1))
    assert order(decided(later, older)) == order(decided(older, later)) == [3, 7]


def test_one_lucky_training_does_not_beat_a_mean() -> None:
    """The third was behind the first two, and stays there when their means are worse."""
    known = [finalist(1, 2.00, run(2.06, seed=1)), finalist(2, 2.01, run(2.07, seed=1))]
    assert order(decided(*known, finalist(3, 2.02))) == [1, 2, 3]


def test_the_best_does_not_lose_for_want_of_a_second_training() -> None:
    """Its other seed did not fit or failed: single trainings are compared then."""
    others = [finalist(2, 2.03, run(2.03, seed=1)), finalist(3, 2.04, run(1.99, seed=1))]
    failed = run(None, seed=1)
    assert order(decided(*others, finalist(1, 2.00))) == [1, 2, 3]
    assert order(decided(*others, finalist(1, 2.00, failed))) == [1, 2, 3]


def test_what_validated_worse_than_the_suggestion_stands_behind_it() -> None:
    risen = finalist(4, 1.99, run(2.05, seed=1))
    assert order(decided(risen, finalist(0, 2.01))) == [0, 4]


def test_a_rate_is_taken_over_where_it_gains_more_than_chance() -> None:
    noise = 0.006
    for gain, factor in ((0.005, 1.0), (0.02, 0.5)):
        tried = run(2.0 - gain, factor=0.5)
        one = weigh(finalist(1, 2.0, run(2.04, seed=1), tried), noise=noise)
        assert one.rate_factor == factor
        expected = 2.02 - (gain if factor != 1.0 else 0.0)
        assert one.selection_bits_per_byte == pytest.approx(expected)
        assert one.predicted_bits_per_byte == pytest.approx(expected - 0.5)
        assert one.trunk == (tried if factor != 1.0 else one.runs[0])


def test_the_best_of_the_rates_is_taken_over() -> None:
    one = weigh(
        finalist(1, 2.0, run(1.95, factor=0.5), run(1.9, factor=2.0), run(None, factor=4.0)),
        noise=0.006,
    )
    assert one.rate_factor == 2.0
    assert one.selection_bits_per_byte == pytest.approx(1.9)


def test_a_better_rate_can_decide_between_finalists() -> None:
    stiff = finalist(1, 2.00, run(2.0, seed=1), run(2.01, factor=0.5))
    soft = finalist(2, 2.01, run(2.01, seed=1), run(1.95, factor=0.5))
    first, _ = decided(stiff, soft)
    assert (first.trial, first.rate_factor) == (2, 0.5)


def test_a_rate_with_more_errors_on_the_task_is_not_taken_over() -> None:
    one = weigh(finalist(1, 2.0, run(1.8, factor=0.5, error=0.2)), noise=0.006)
    assert one.rate_factor == 1.0
    fewer = weigh(finalist(1, 2.0, run(2.0, seed=1, error=0.3)), noise=0.006)
    assert fewer.task_errors == {"task:a.jsonl": pytest.approx(0.15)}


def test_a_training_that_failed_is_no_reading() -> None:
    one = weigh(finalist(1, 2.0, run(None, seed=1), run(None, factor=0.5)), noise=0.006)
    assert (one.selection_bits_per_byte, one.rate_factor) == (2.0, 1.0)


def test_seeds_say_how_much_chance_there_is() -> None:
    assert seed_noise([finalist(1, 2.0)]) == pytest.approx(USUAL_NOISE)
    quiet = [finalist(n, 2.0, run(2.0, seed=1)) for n in range(2)]
    loud = [finalist(n, 2.0, run(2.1, seed=1), run(1.9, seed=2)) for n in range(4)]
    assert 0 < seed_noise(quiet) < USUAL_NOISE < seed_noise(loud) < 0.1
    rates = [finalist(1, 2.0, run(2.5, factor=0.5))]
    assert seed_noise(rates) == pytest.approx(USUAL_NOISE)


def test_contenders_are_those_that_cannot_be_told_from_the_first() -> None:
    found = [finalist(n, bits) for n, bits in enumerate((2.0, 2.01, 2.1))]
    assert order(contenders(found)) == [0, 1]
    unsure = finalist(2, 2.1, half_width=0.09)
    assert order(contenders([*found[:2], unsure])) == [0, 1, 2]
    far = [finalist(0, 2.0), finalist(1, 3.0)]
    assert order(contenders(far)) == [0, 1]
    assert order(contenders(far[:1])) == [0]
    errs = finalist(2, 2.0).model_copy(update={"task_errors": {"task:a.jsonl": 0.5}})
    assert order(contenders([*found[:2], errs])) == [0, 1]


def test_seeds_come_before_rates_and_every_finalists_before_a_second() -> None:
    two = [Candidate(3, 10.0, 1.0), Candidate(5, 10.0, 1.0)]
    assert planned(two, fresh=2) == [
        Training(3, 11),
        Training(5, 11),
        Training(3, 12),
        Training(5, 12),
        Training(3, 10, 0.5),
        Training(3, 10, 2.0),
        Training(5, 10, 0.5),
        Training(5, 10, 2.0),
    ]
    assert planned(two[:1]) == [Training(3, 10, 0.5), Training(3, 10, 2.0)]


def test_without_a_fresh_seed_for_the_best_nobody_gets_one() -> None:
    slow, quick, third = Candidate(1, 100.0, 0.1), Candidate(2, 10.0, 0.1), Candidate(3, 10.0, 0.1)
    found = planned([slow, quick, third], room=60.0)
    assert {training.seed for training in found} == {10}
    assert planned([quick, slow, third], room=60.0)[:2] == [Training(2, 11), Training(3, 11)]


def test_a_fresh_seed_for_one_alone_is_not_trained() -> None:
    """It could be compared with nothing; a rate of the first can."""
    two = [Candidate(3, 10.0, 1.0), Candidate(5, 10.0, 1.0)]
    assert planned(two, room=19.0) == [Training(3, 10, 0.5)]
    assert planned(two, room=19.0, slots=2) == [Training(3, 11), Training(5, 11)]
    assert planned(two, room=9.0, slots=8) == []


def test_a_raised_rate_is_tried_where_the_final_training_is_not_much_longer() -> None:
    assert may_pay(0.5, 0.01)
    assert may_pay(2.0, 0.3)
    assert not may_pay(2.0, 0.1)
    assert may_pay(4.0, 0.1)
    short = planned([Candidate(3, 1.0, 0.1)])
    assert [one.rate_factor for one in short] == [0.5]


SECONDS = st.lists(st.floats(1.0, 100.0), min_size=1, max_size=5)


@given(SECONDS, st.integers(1, 4), st.floats(0.0, 400.0), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_what_is_planned_ends_in_the_room(
    seconds: list[float], slots: int, room: float, fresh: int
) -> None:
    candidates = [Candidate(number, each, 1.0) for number, each in enumerate(seconds)]
    plan = planned(candidates, room=room, slots=slots, fresh=fresh)
    assert len(set(plan)) == len(plan)
    busy = [0.0] * slots
    for training in plan:  # whoever is free takes the next one
        slot = busy.index(min(busy))
        busy[slot] += seconds[training.trial]
    assert max(busy) <= room + 1e-9
    seeds = [one for one in plan if one.seed != 10]
    assert len({one.trial for one in seeds}) != 1

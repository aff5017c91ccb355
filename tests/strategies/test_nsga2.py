"""NSGA-II does what its paper says (Deb et al. 2002, doi 10.1109/4235.996017)."""

import random
from statistics import fmean

import moocore
import numpy as np
import pytest

from archsmith.strategies._drafts import Finished
from archsmith.strategies.nsga2 import Nsga2, _Survivor, _tournament, survive
from archsmith.strategies.random import Random
from archsmith.testing.toy import TableSpace, run_search
from archsmith.trial import Limit, Observation, Problem, TrialState

OBJECTIVES = ("loss", "cost")


def trial(number, *values, excess=0.0):
    return Finished(number, (number,), 0, values, excess)


def winners(survivors):
    """How often each trial wins a tournament."""
    rng = random.Random(0)
    found = [_tournament(survivors, rng).number for _ in range(900)]
    return [found.count(survivor.trial.number) for survivor in survivors]


def test_a_tournament_goes_to_the_lower_front_whatever_the_crowding():
    survivors = [
        _Survivor(trial(0, 1.0, 1.0), 0, 0.1),
        _Survivor(trial(1, 2.0, 2.0), 1, 1e30),
        _Survivor(trial(2, 3.0, 3.0), 2, 5.0),
    ]
    # drawn with replacement: the best is among two of three in 5/9, the worst alone in 1/9
    assert winners(survivors) == pytest.approx([500, 300, 100], abs=45)


def test_within_a_front_a_tournament_goes_to_the_larger_crowding_distance():
    survivors = [
        _Survivor(trial(0, 1.0, 3.0), 0, 0.2),
        _Survivor(trial(1, 2.0, 2.0), 0, 0.7),
        _Survivor(trial(2, 3.0, 1.0), 0, 1e30),
    ]
    assert winners(survivors) == pytest.approx([100, 300, 500], abs=45)


def test_a_tournament_goes_to_what_is_within_limits_then_to_the_nearest():
    outside = [trial(0, 0.0, 0.0, excess=2.0), trial(1, 0.1, 0.1, excess=0.5)]
    within = trial(2, 9.0, 9.0)
    survivors = survive([*outside, within], 3)
    assert [survivor.trial.number for survivor in survivors] == [2, 1, 0]
    assert winners(survivors) == pytest.approx([500, 300, 100], abs=45)


def test_crowding_is_the_room_between_the_neighbours_in_the_front():
    front = [(0.0, 10.0), (1.0, 6.0), (2.0, 5.0), (10.0, 0.0)]
    found = survive([trial(n, *values) for n, values in enumerate(front)], 4)
    crowding = {survivor.trial.number: survivor.crowding for survivor in found}
    assert {survivor.rank for survivor in found} == {0}
    assert crowding[0] == crowding[3] == 1e30  # the ends
    # each objective's share of its extent, as a mean over objectives
    expected = [fmean((2 / 10, 5 / 10)), fmean((9 / 10, 6 / 10))]
    assert [crowding[1], crowding[2]] == pytest.approx(expected)


def observed(points, values, **metrics):
    return [
        Observation(
            number=number,
            architecture=point,
            state=TrialState.COMPLETE,
            metrics={"loss": loss, "cost": cost, **{k: v[number] for k, v in metrics.items()}},
        )
        for number, (point, (loss, cost)) in enumerate(zip(points, values, strict=True))
    ]


def problem(*sizes, seed=0, limits=()):
    return Problem(
        space=TableSpace(sizes),
        objectives=OBJECTIVES,
        limits=[Limit.parse(text) for text in limits],
        static_metrics=lambda point: {},
        seed=seed,
    )


def test_a_child_takes_every_choice_from_one_of_its_two_parents():
    # each parent has a value of its own in every place
    points = [(n,) * 20 for n in range(6)]
    history = observed(points, [(float(n), 5.0 - n) for n in range(6)])
    search = problem(*(6,) * 20)
    strategy = Nsga2(population_size=6, crossover_probability=1.0, mutation_probability=0.0)
    crossed = 0
    for number in range(6, 46):
        child = strategy.propose(search, history, search.rng(number))
        if len(child.parents) == 1:  # met itself: a mutant
            values = [value for value in child.architecture if value != child.parents[0]]
            assert len(values) == 1
            continue
        assert set(child.architecture) == set(child.parents)
        crossed += 1
    assert crossed > 20


def test_parents_come_from_the_survivors_alone():
    points = [(n,) * 4 for n in range(9)]
    history = observed(
        points,
        [(1.0, 4.0), (2.0, 3.0), (3.0, 2.0), (4.0, 1.0), *[(5.0 + n, 5.0 + n) for n in range(4)],
         (0.0, 0.0)],
        decode_ms_per_token=[5.0] * 8 + [50.0],
    )  # fmt: skip
    search = problem(9, 9, 9, 9, limits=("decode_ms_per_token <= 10",))
    strategy = Nsga2(population_size=4)
    parents = [
        strategy.propose(search, history, search.rng(number)).parents for number in range(9, 49)
    ]
    # the last one dominates all and is outside
    assert set().union(*parents) == {0, 1, 2, 3}


def test_it_covers_more_of_two_objectives_than_random_search_on_every_seed():
    size, places = 8, 6

    def metrics(point):
        # the front: every value at one end or the other, in any number
        loss = float(sum(point))
        bent = sum(value * (size - 1 - value) for value in point)
        return {"loss": loss, "cost": (size - 1) * places - loss + bent}

    worst = metrics((size // 2,) * places)["cost"]

    def covered(strategy, seed):
        history = run_search(strategy, problem(*(size,) * places, seed=seed), 150, metrics=metrics)
        values = np.array([o.values(OBJECTIVES) for o in history])
        return moocore.hypervolume(values, ref=[(size - 1.0) * places + 1, worst + 1])

    gains = [covered(Nsga2(), seed) / covered(Random(), seed) for seed in range(5)]
    assert min(gains) > 1.1

"""What a pool is drawn from, and what is told of its points."""

import random

import numpy as np

from archsmith.replay.space import Dimension, TableSpace
from archsmith.strategies._drafts import Finished
from archsmith.strategies._pool import _incumbents, features, front, radius, spread_front
from archsmith.trial import Problem


def table(groups=("op*", "op*", "op*", "")):
    levels = np.array(
        [[a, b, c, d] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]
    )
    dimensions = [
        Dimension(f"column{place}", "categorical", ("conv", "skip"), group)
        for place, group in enumerate(groups)
    ]
    space = TableSpace(dimensions, levels, {})
    return Problem(space=space, objectives=("error",), static_metrics=lambda point: {})


def test_options_of_choices_named_together_are_counted():
    problem = table()
    found = features(problem, problem.space.at((0, 1, 1, 1)))
    assert found["count_op*_0"] == 1
    assert found["count_op*_1"] == 2
    assert found["choice_3"] == 1
    assert not any(
        name.startswith("count")
        for name in features(table(groups=("",) * 4), problem.space.at((0, 0, 0, 0)))
    )


def test_any_point_of_a_long_front_is_mutated():
    trials = [Finished(n, n, 0, (float(n), float(20 - n)), 0.0) for n in range(20)]
    trials += [Finished(20 + n, 20 + n, 0, (30.0, 30.0 + n), 0.0) for n in range(5)]
    assert sorted(front(trials)) == list(range(20))
    drawn = {t.number for seed in range(20) for t in _incumbents(trials, random.Random(seed))}
    assert drawn == set(range(20))
    few = trials[:2] + trials[20:]
    assert {t.number for t in _incumbents(few, random.Random(0))} >= {0, 1}


def test_a_front_that_grew_is_no_failure():
    old = [Finished(n, n, 0, (float(n), 9.0 - n), 0.0) for n in range(3)]
    worse = [Finished(3 + n, 3 + n, 0, (20.0, 20.0), 0.0) for n in range(6)]
    assert radius([*old, *worse]) < radius([*old, *worse, Finished(9, 9, 0, (-1.0, 30.0), 0.0)])


def test_a_front_too_large_is_stood_for_by_points_all_over_it():
    """The first sixty-four of a long search are those of its beginning."""
    rng = random.Random(0)
    trials = []
    for number in range(1200):
        bits, ms = sorted((rng.random(), rng.random()))
        trials.append(Finished(number, number, 0, (bits, ms - bits, 1 - ms), 0.0))
    chosen = spread_front(trials, 64)
    assert len(set(chosen)) == 64
    for objective in range(3):
        assert min(range(1200), key=lambda n: trials[n].values[objective]) in chosen
    values = np.array([trial.values for trial in trials])
    away = np.linalg.norm(values[:, None] - values[chosen], axis=-1).min(axis=1)
    assert away.max() < 0.15
    assert away.max() < 0.7 * np.linalg.norm(values[:, None] - values[:64], axis=-1).min(1).max()


def test_a_small_front_is_followed_by_the_next_best():
    trials = [Finished(n, n, 0, (float(n), 3.0 - n, 0.0), 0.0) for n in range(4)]
    trials += [Finished(4 + n, 4 + n, 0, (9.0 + n, 9.0, 9.0), 0.0) for n in range(9)]
    trials += [Finished(13, 13, 0, (-9.0, -9.0, -9.0), 0.5)]
    assert spread_front(trials, 6) == [0, 1, 2, 3, 4, 5]

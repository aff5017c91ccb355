"""The recurrent controller learns by policy gradient, and only from the history."""

import random

import pytest

from archsmith.strategies._choices import Answer
from archsmith.strategies._drafts import Finished, finished
from archsmith.strategies.controller import Controller, _Policy
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import run_search, toy_problem
from archsmith.trial import Problem


class Grid:
    """Choices with sizes of their own; the combination of all zeros does not exist."""

    def __init__(self, *sizes):
        self.choice_sizes = sizes

    def sample(self, rng):
        return tuple(max(1, rng.randrange(size)) for size in self.choice_sizes)

    def indices(self, point):
        return point

    def at(self, indices):
        return tuple(indices) if any(indices) else None

    def neighbours(self, point):
        return []

    def log10_size(self):
        return 9.0


def problem(*sizes, seed=0):
    space = Grid(*sizes)
    return Problem(space=space, objectives=("loss",), static_metrics=lambda point: {}, seed=seed)


def loss(point):
    return {"loss": float(sum(value != 2 for value in point))}


class TestController(StrategyContract):
    strategy = pytest.fixture(lambda self: Controller(hidden_size=8, num_layers=1))

    @pytest.mark.slow
    def test_a_thousand_trials_are_no_obstacle(self, strategy):  # all are learned from
        super().test_a_thousand_trials_are_no_obstacle(strategy)


@pytest.mark.slow
def test_draws_move_to_what_pays():
    grid = problem(4, 3, 5, 3)
    history = run_search(Controller(), grid, 120, metrics=loss)
    policy = _Policy(grid, Controller())
    before = policy.draw(200, random.Random(0))
    policy.learn(finished(grid, history))
    after = policy.draw(200, random.Random(0))

    def wrong(answers):
        return sum(loss(answer.options)["loss"] for answer in answers) / len(answers)

    assert 2.5 < wrong(before) < 3.1  # uniform: 3/4 + 2/3 + 4/5 + 2/3
    assert wrong(after) < 0.6 * wrong(before)


def test_a_trial_above_the_baseline_gains_probability():
    grid = problem(4, 3, 5)
    policy = _Policy(grid, Controller(learning_rate=0.001))
    good, bad = Answer(0, (1, 2, 3)), Answer(0, (2, 0, 4))

    def chance(answer):
        return float(policy._log_probability(answer).detach())

    policy.learn([Finished(0, (3, 1, 1), 0, (5.0,), 0.0)])
    start = chance(good), chance(bad)
    policy.learn(
        [Finished(0, (3, 1, 1), 0, (5.0,), 0.0), Finished(1, good.options, 0, (1.0,), 0.0)]
    )
    middle = chance(good), chance(bad)
    assert middle[0] > start[0]
    policy.learn(
        [
            Finished(0, (3, 1, 1), 0, (5.0,), 0.0),
            Finished(1, good.options, 0, (1.0,), 0.0),
            Finished(2, bad.options, 0, (9.0,), 0.0),
        ]
    )
    assert chance(bad) < middle[1]


def test_choices_are_drawn_given_those_before():
    grid = problem(2, 2)
    rng = random.Random(0)

    def paired(point):
        return {"loss": float(point[0] != point[1])}

    history = run_search_with_repeats(grid, paired, 150, rng)
    policy = _Policy(grid, Controller())
    policy.learn(history)
    drawn = policy.draw(300, random.Random(1))
    agree = sum(answer.options[0] == answer.options[1] for answer in drawn)
    assert agree > 240


def run_search_with_repeats(grid, metrics, count, rng):
    """Finished trials at random points of a grid that is smaller than their number."""
    points = [tuple(rng.randrange(size) for size in grid.space.choice_sizes) for _ in range(count)]
    return [
        Finished(number, point, 0, (metrics(point)["loss"],), 0.0)
        for number, point in enumerate(points)
    ]


def test_another_history_is_learned_from_the_beginning():
    grid = problem(4, 3, 5)
    first = run_search_with_repeats(grid, loss, 20, random.Random(0))
    second = run_search_with_repeats(grid, loss, 10, random.Random(1))
    used, fresh = _Policy(grid, Controller()), _Policy(grid, Controller())
    used.learn(first[:7])
    used.learn(first)
    used.learn(second)
    fresh.learn(second)
    assert used.draw(20, random.Random(2)) == fresh.draw(20, random.Random(2))


def test_the_global_generator_of_torch_is_left_alone():
    import torch

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    search = toy_problem()
    run_search(Controller(hidden_size=4), search, 3)
    assert torch.equal(torch.rand(3), expected)

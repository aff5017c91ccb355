"""The contract suites fail for parts that break their promise, and hold for a table space."""

import random
from typing import Literal

import pytest

from archsmith.cost.base import CostContext, CostModel
from archsmith.space import presets
from archsmith.strategies.base import Strategy
from archsmith.testing.cost import CostContract
from archsmith.testing.space import SpaceContract
from archsmith.testing.strategy import StrategyContract
from archsmith.testing.toy import TableSpace
from archsmith.trial import Proposal


class TestTableSpace(SpaceContract):
    space = pytest.fixture(lambda self: TableSpace((3, 2, 4)))


class Stubborn(Strategy):
    type: Literal["stubborn"] = "stubborn"

    def propose(self, problem, history, rng):
        return Proposal(architecture=problem.space.sample(random.Random(0)), strategy=self.type)


class Careless(Strategy):
    type: Literal["careless"] = "careless"

    def propose(self, problem, history, rng):
        return Proposal(architecture=problem.space.sample(random.Random()), strategy=self.type)


class Sticky(type(presets.tiny())):
    def mutate(self, point, rng):
        return point


@pytest.mark.parametrize("strategy", [Stubborn(), Careless()], ids=["repeats", "leaves limits"])
def test_a_strategy_that_repeats_or_leaves_the_limits_is_caught(strategy):
    with pytest.raises(AssertionError):
        StrategyContract().test_every_proposal_is_new_feasible_and_of_the_space(strategy)


def test_a_strategy_that_ignores_its_generator_is_caught():
    with pytest.raises(AssertionError):
        StrategyContract().test_the_same_history_and_generator_give_the_same_proposal(Careless())


def test_a_strategy_that_ignores_start_points_is_caught():
    with pytest.raises(AssertionError):
        StrategyContract().test_start_points_come_first_and_each_once(Careless())


def test_a_space_whose_mutants_do_not_differ_is_caught():
    with pytest.raises(AssertionError):
        SpaceContract().test_a_mutant_is_another_member(Sticky(presets.tiny().branches))


@pytest.mark.parametrize(
    ("estimate", "test"),
    [
        (lambda a, c: -1.0, "test_the_estimate_is_finite_and_not_negative"),
        (lambda a, c: random.random(), "test_the_same_question_has_the_same_answer"),
        (lambda a, c: 1.0 / len(a.layers), "test_a_deeper_network_costs_no_less"),
    ],
)
def test_a_cost_model_that_breaks_its_promise_is_caught(estimate, test):
    model = CostModel("num_params", exact=True, estimate=estimate)
    with pytest.raises(AssertionError):
        getattr(CostContract(), test)(model)
    assert CostContext().context_length is None

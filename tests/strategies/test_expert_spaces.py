"""Every strategy in spaces with experts, windows, and both dense networks and experts."""

import pytest

from archsmith import registry
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.space import presets
from archsmith.strategies.nsga2 import Nsga2
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.strategies.regularized_evolution import RegularizedEvolution
from archsmith.testing.toy import run_search, toy_problem

_EXPERTS = {"num_experts": (2, 4, 8), "num_experts_per_tok": (1, 2, 4)}
_SPACES = {
    "mixed": presets.tiny(preset="mixed", **_EXPERTS),
    "moe": presets.tiny(preset="moe", **_EXPERTS),
    "windows": presets.tiny(families=("granite_swa",)),
}
_LIGHT = {
    "random", "parameter_maximizer", "llama_shape", "phi3_shape", "regularized_evolution", "nsga2",
}  # fmt: skip


def has_experts(architecture):
    return isinstance(architecture.layers[0].feed_forward, MixtureOfExperts)


@pytest.mark.parametrize("space", sorted(_SPACES))
@pytest.mark.parametrize("name", sorted(_LIGHT & set(registry.names("strategies"))))
def test_proposals_are_new_feasible_members(name, space):
    problem = toy_problem(space=_SPACES[space], limits=("num_params <= 400K",))
    history = run_search(registry.find("strategies", name)(), problem, 12)
    points = [observation.architecture for observation in history]
    assert len(set(points)) == len(points)
    assert all(problem.space.contains(point) and problem.feasible(point) for point in points)


@pytest.mark.parametrize(
    "strategy",
    [RegularizedEvolution(population_size=10, sample_size=3), Nsga2(population_size=10)],
    ids=["evolution", "nsga2"],
)
def test_a_search_over_both_tries_both(strategy):
    problem = toy_problem(space=_SPACES["mixed"], limits=("num_params <= 300K",))
    kinds = [has_experts(o.architecture) for o in run_search(strategy, problem, 40)]
    assert 5 < sum(kinds) < 35
    assert sum(kinds[10:]) > 0


def test_the_maximizer_fills_the_limit_with_experts():
    space = presets.moe(quantizations=("Q8_0",), families=("mixtral",))
    problem = toy_problem(space=space, limits=("num_params <= 20M",))
    points = [o.architecture for o in run_search(ParameterMaximizer(), problem, 3)]
    assert points[0].num_params > 0.9 * 20e6
    assert {p.layers[0].feed_forward.num_experts for p in points} == {8}
    assert {p.layers[0].feed_forward.num_experts_per_tok for p in points} == {2}


def test_the_maximizer_starts_at_a_whole_period():
    space = presets.tiny(families=("granite_swa",), full_attention_every=(3,), depths=(1, 2, 3, 4))
    problem = toy_problem(space=space, limits=())
    points = [o.architecture for o in run_search(ParameterMaximizer(), problem, 6)]
    assert min(point.num_hidden_layers for point in points) >= 3
    assert all(space.contains(point) for point in points)

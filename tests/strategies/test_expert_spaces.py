"""Strategies in spaces with experts, windows, and both dense networks and experts.

All but those that read a supernet's policy and `law_guided`, which has tests of its own.
"""

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
# settings that make a strategy quick; those not named have none to make
_QUICK = {
    "bananas": {"num_start": 6, "num_steps": 20, "num_networks": 2, "pool_size": 20},
    "controller": {"hidden_size": 4, "num_layers": 1},
    "decoder_params_evolution": {"population_size": 8, "generations": 2, "children": 8},
    "local_search": {"num_start": 4},
    "nsga2": {"population_size": 6},
    "optuna_nsga2": {"population_size": 6},
    "optuna_tpe": {"n_startup_trials": 6, "n_ei_candidates": 8},
    "regularized_evolution": {"population_size": 6, "sample_size": 3},
    "single_path_one_shot": {"population_size": 6, "num_parents": 3},
}
_LEFT_OUT = {"darts", "enas", "law_guided"}


def has_experts(architecture):
    return isinstance(architecture.layers[0].feed_forward, MixtureOfExperts)


@pytest.mark.parametrize("space", sorted(_SPACES))
@pytest.mark.parametrize("name", sorted(set(registry.names("strategies")) - _LEFT_OUT))
def test_proposals_are_new_feasible_members(name, space):
    if name.startswith("optuna"):
        pytest.importorskip("optuna")
    problem = toy_problem(space=_SPACES[space], limits=("num_params <= 400K",))
    strategy = registry.find("strategies", name)(**_QUICK.get(name, {}))
    history = run_search(strategy, problem, 12)
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

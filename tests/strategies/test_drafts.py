"""What all strategies share: how trials are read and ranked, and what is left of a space."""

import math
import random

import pytest

from archsmith.errors import ConfigError, InfeasibleError
from archsmith.presets import scaled_llama
from archsmith.space import presets
from archsmith.strategies import _drafts
from archsmith.strategies._drafts import (
    Draft,
    Finished,
    by_merit,
    finished,
    first_new,
    merit,
)
from archsmith.strategies.llama_shape import LlamaShape
from archsmith.strategies.nsga2 import survive
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.strategies.phi3_shape import Phi3Shape
from archsmith.strategies.regularized_evolution import RegularizedEvolution
from archsmith.strategies.single_path_one_shot import SinglePathOneShot
from archsmith.testing.toy import TableSpace, run_search, toy_problem
from archsmith.trial import Limit, Observation, Problem, TrialState


def trial(number, *values, rung=0, excess=0.0):
    return Finished(number, f"point {number}", rung, values, excess)


def order(trials):
    keys = merit(trials)
    return [trials[index].number for index in sorted(range(len(trials)), key=keys.__getitem__)]


def observation(number, point, state=TrialState.COMPLETE, **metrics):
    plain = Observation(number=number, architecture=point, state=state)
    return plain.model_copy(update={"metrics": metrics})


def test_within_limits_comes_first_then_the_higher_rung_then_the_value():
    assert order(
        [
            trial(0, 1.0, excess=0.5),
            trial(1, 1.3, rung=0),
            trial(2, 1.4, rung=1),
            trial(3, 1.5, rung=1),
            trial(4, 1.2, rung=0),
        ]
    ) == [2, 3, 4, 1, 0]


def test_with_two_objectives_the_least_dominated_comes_first():
    assert order([trial(0, 3.0, 3.0), trial(1, 1.0, 2.0), trial(2, 2.0, 2.5)]) == [1, 2, 0]


def test_trials_are_ranked_as_comparing_them_one_by_one_would_rank_them():
    rng = random.Random(0)

    def key(trial, others):
        dominators = [
            other
            for other in others
            if other.rung == trial.rung
            and other.excess <= trial.excess
            and all(a <= b for a, b in zip(other.values, trial.values, strict=True))
            and other.values != trial.values
        ]
        last = trial.values[0] if len(trial.values) == 1 else len(dominators)
        return trial.excess, -trial.rung, last

    for num_objectives in (1, 2, 3):
        trials = [
            trial(
                number,
                *(rng.randrange(9) / 7 for _ in range(num_objectives)),
                rung=rng.randrange(2),
                excess=rng.choice((0.0, 0.0, 0.0, 0.25, rng.random())),
            )
            for number in range(600)  # more than are compared at once
        ]
        keys = [key(one, trials) for one in trials]
        assert merit(trials) == keys
        assert by_merit(trials) == sorted(range(600), key=keys.__getitem__)
    assert by_merit([]) == merit([]) == []


def test_only_the_latest_of_several_objectives_are_compared_where_that_is_told():
    trials = [trial(n, float(n), float(n)) for n in range(9)]
    assert by_merit(trials, latest=4) == [5, 6, 7, 8]
    assert by_merit(trials, latest=40) == list(range(9))
    assert by_merit([trial(n, float(n)) for n in range(9)], latest=4) == list(range(9))


def test_a_generation_is_ranked_once():
    problem = toy_problem(objectives=("bits_per_byte", "decode_ms_per_token"))
    strategy = SinglePathOneShot(population_size=6)
    _drafts._rank.cache_clear()
    run_search(strategy, problem, 24)
    assert _drafts._rank.cache_info().misses == 4  # nothing, and three full generations


def test_only_known_finite_values_count_and_a_repeated_point_once():
    problem = Problem(
        space=TableSpace((9,)),
        objectives=("bits_per_byte",),
        limits=[Limit.parse("decode_ms_per_token <= 10ms")],
        static_metrics=lambda point: {},
    )
    history = [
        observation(0, (0,), bits_per_byte=1.0),
        observation(1, (1,), TrialState.FAILED, bits_per_byte=0.1),
        observation(2, (2,), TrialState.REJECTED, bits_per_byte=0.1),
        observation(3, (3,), bits_per_byte=math.nan),
        observation(4, (4,), file_bytes=3.0),
        observation(5, (5,), TrialState.PENDING, bits_per_byte=2.0, decode_ms_per_token=15.0),
        observation(6, (0,), bits_per_byte=1.1),
    ]
    found = finished(problem, history)
    assert [(t.number, t.values, t.excess) for t in found] == [(5, (2.0,), 0.5), (6, (1.1,), 0.0)]


def test_survivors_fill_front_by_front_and_keep_the_ends():
    front = [trial(i, float(i), 4.0 - i) for i in range(5)]
    worse = [trial(5, 9.0, 9.0)]
    outside = [trial(6, 0.0, 0.0, excess=0.1)]
    kept = {s.trial.number for s in survive([*outside, *worse, *front], 3)}
    assert {0, 4} < kept < {0, 1, 2, 3, 4}
    assert [s.trial.number for s in survive([*outside, *worse, *front], 7)][-2:] == [5, 6]


def test_parents_are_named():
    history = run_search(RegularizedEvolution(population_size=8, sample_size=4), toy_problem(), 30)
    children = [o for o in history[8:] if o.parents]
    assert len(children) > 15
    assert all(parent < o.number for o in children for parent in o.parents)


def test_the_note_says_that_a_space_is_exhausted():
    problem = Problem(
        space=TableSpace((2, 2)), objectives=("bits_per_byte",), static_metrics=lambda p: {}
    )
    history = [observation(i, (i // 2, i % 2)) for i in range(4)]
    again = first_new(
        problem, history, random.Random(0), lambda: iter([Draft((0, 0))]), strategy="x"
    )
    assert "every feasible point" in again.note


def test_the_maximizer_proposes_falling_scores_near_the_limit():
    problem = toy_problem(
        space=presets.portable(quantizations=("Q8_0",)), limits=("file_bytes <= 8MiB",)
    )
    history = run_search(ParameterMaximizer(), problem, 5, metrics=lambda p: {})
    points = [o.architecture for o in history]
    bytes_ = [problem.static_metrics(p)["file_bytes"] for p in points]
    assert bytes_[0] > 0.9 * 8 * 2**20
    assert 12 < points[0].width_depth_ratio < 200
    assert len({(p.hidden_size, p.num_hidden_layers) for p in points}) == 5
    assert all(
        p.tie_word_embeddings and p.layers[0].feed_forward.type == "gated_mlp" for p in points
    )


def test_the_maximizer_shares_keys_only_where_nothing_else_fits():
    space = presets.llama(depths=(4,), hidden_sizes=(256,), quantizations=("Q8_0",))
    free = toy_problem(space=space, limits=())
    tight = toy_problem(space=space, limits=("cache_bytes <= 700KiB",))
    for problem, shared in ((free, 1), (tight, 4)):
        point = ParameterMaximizer().propose(problem, (), random.Random(0)).architecture
        mixer = point.layers[0].mixer
        assert mixer.num_attention_heads // mixer.num_key_value_heads == shared


def test_the_maximizer_refuses_a_large_space_it_cannot_rank():
    problem = Problem(
        space=TableSpace((10,) * 9), objectives=("bits_per_byte",), static_metrics=lambda p: {}
    )
    with pytest.raises(ConfigError, match=r"at most 20000 points; this one has 10\^9\.0"):
        ParameterMaximizer().propose(problem, (), random.Random(0))


@pytest.mark.parametrize("strategy", [LlamaShape(), Phi3Shape()], ids=["llama", "phi3"])
def test_a_drawn_shape_is_the_widest_that_fits(strategy):
    space = presets.portable(quantizations=("Q8_0",), families=("llama",))
    problem = toy_problem(space=space, limits=("file_bytes <= 8MiB",))
    point = strategy.propose(problem, (), problem.rng(0)).architecture
    assert problem.static_metrics(point)["file_bytes"] > 0.6 * 8 * 2**20
    assert point.tie_word_embeddings == (strategy.type == "llama_shape")
    assert 20 < point.width_depth_ratio < 60


def test_a_llama_shape_is_the_drawn_one_where_the_space_has_it():
    space = presets.llama(quantizations=("Q8_0",), hidden_sizes=(64, 288), depths=(5, 6))
    problem = toy_problem(space=space, limits=())
    point = LlamaShape().propose(problem, (), problem.rng(0)).architecture
    assert point == scaled_llama(
        288,
        vocab_size=point.vocab_size,
        context_tokens=point.max_position_embeddings,
        quantization="Q8_0",
    )


def test_shapes_need_architectures():
    problem = Problem(
        space=TableSpace((3,)), objectives=("bits_per_byte",), static_metrics=lambda p: {}
    )
    with pytest.raises(ConfigError, match="'llama_shape' needs a space of architectures"):
        LlamaShape().propose(problem, (), random.Random(0))


def test_nothing_feasible_names_the_limit():
    problem = toy_problem(limits=("num_params <= 100",))
    with pytest.raises(InfeasibleError, match="num_params <= 100"):
        RegularizedEvolution().propose(problem, (), random.Random(0))

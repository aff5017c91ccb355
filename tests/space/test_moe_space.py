"""Spaces with experts, windows and block-sparse layers: contract, exact size, moves, limits."""

import random
import time

import pytest

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.errors import ConfigError
from archsmith.space import presets
from archsmith.space.feasible import sample_feasible
from archsmith.testing.space import SpaceContract
from archsmith.trial import Limit, Problem

_EXPERTS = {"num_experts": (2, 4, 8), "num_experts_per_tok": (1, 2, 4)}
_SPACES = {
    "moe": {"preset": "moe", **_EXPERTS},
    "mixed": {"preset": "mixed", **_EXPERTS},
    "capped": {"preset": "mixed", **_EXPERTS, "max_params": 90_000},
    "windows": {"families": ("granite_swa", "llama"), "full_attention_every": (2, 3)},
    "both": {"families": ("mimo", "mixtral"), **_EXPERTS, "full_attention_every": (2, 3)},
    "phi": {"preset": "phi", "num_experts": (2, 4)},
}
_LARGER = presets.mixed(max_params="60M", hidden_sizes=(64, 128, 256, 384, 512))
_MIXED = presets.tiny(**_SPACES["mixed"])


@pytest.mark.parametrize("name", sorted(_SPACES))
class TestTinySpaces(SpaceContract):
    @pytest.fixture
    def space(self, name):
        return presets.tiny(**_SPACES[name])


@pytest.mark.parametrize("name", sorted(_SPACES))
def test_the_size_is_exactly_what_enumeration_counts(name):
    space = presets.tiny(
        hidden_sizes=(32, 96),
        depths=(1, 3),
        quantizations=("Q8_0", "Q4_K_M"),
        tie_word_embeddings=(True,),
        intermediate_ratios=(1.5, 2.0, 3.0),
        **_SPACES[name],
    )
    points = list(space.points())
    assert space.size() == len(points) == len(set(points))
    for point in points[:: max(1, len(points) // 60)]:
        assert space.build(space.locate(point)) == point


def test_at_equal_ratio_experts_cost_the_flops_of_a_dense_block():
    rng = random.Random(0)
    space = presets.moe(vocabularies=((512, 64),), hidden_sizes=(512, 768))
    for _ in range(100):
        point = space.sample(rng)
        values, block = space.values(point), point.layers[0].feed_forward
        dense = values["intermediate_ratio"] * point.hidden_size
        blocks = values["num_experts_per_tok"] + values.get("num_shared_experts", 0)
        # each of the narrow blocks is rounded to a multiple of 32
        assert abs(block.active_intermediate_size - dense) <= 16 * blocks
        assert block.num_experts == values["num_experts"] > block.num_experts_per_tok


def test_a_finer_grain_has_more_and_narrower_experts_at_equal_size():
    space = presets.tiny(
        families=("olmoe",),
        hidden_sizes=(256,),
        depths=(1,),
        intermediate_ratios=(2.0,),
        quantizations=("Q8_0",),
        **_EXPERTS,
    )
    made = {
        (values["num_experts"], values["num_experts_per_tok"]): point.layers[0].feed_forward
        for point in space.points()
        for values in [space.values(point)]
    }
    coarse, fine = made[2, 1], made[8, 4]
    assert (coarse.moe_intermediate_size, fine.moe_intermediate_size) == (512, 128)
    assert coarse.num_experts * 512 == fine.num_experts * 128
    assert coarse.active_intermediate_size == fine.active_intermediate_size


def test_one_renormalized_expert_per_token_is_left_out():
    space = presets.tiny(
        **_SPACES["moe"], hidden_sizes=(64,), depths=(1,), quantizations=("Q8_0",), head_dims=(16,)
    )
    values = [space.values(point) for point in space.points()]
    used = {(chosen["family"], chosen["num_experts_per_tok"]) for chosen in values}
    assert ("olmoe", 1) in used
    assert ("mixtral", 1) not in used
    assert ("mixtral", 4) in used


def test_children_of_dense_and_experts_keep_what_both_have():
    rng, mixed = random.Random(1), 0
    for _ in range(150):
        first, second = _MIXED.sample(rng), _MIXED.sample(rng)
        child = _MIXED.crossover(first, second, rng)
        assert _MIXED.contains(child)
        parents, born = [_MIXED.values(first), _MIXED.values(second)], _MIXED.values(child)
        assert born["family"] in {parent["family"] for parent in parents}
        if isinstance(first.layers[0].feed_forward, MixtureOfExperts) == isinstance(
            second.layers[0].feed_forward, MixtureOfExperts
        ):
            continue
        mixed += 1
        for name in ("hidden_size", "num_hidden_layers", "vocabulary"):
            assert born[name] in {parent[name] for parent in parents}
    assert mixed > 25


def test_mutants_cross_between_dense_and_experts():
    rng, point, seen = random.Random(0), _MIXED.sample(random.Random(2)), set()
    for _ in range(600):
        point = _MIXED.mutate(point, rng)
        assert _MIXED.contains(point)
        seen.add(_MIXED.values(point)["family"])
    assert seen == {branch.family.name for branch in _MIXED.branches}


@pytest.mark.parametrize("name", ["windows", "both"])
def test_windows_follow_the_context_and_every_nth_layer_sees_all(name):
    space = presets.tiny(**_SPACES[name])
    rng, periods = random.Random(0), set()
    for _ in range(200):
        point = space.sample(rng)
        values = space.values(point)
        if values["family"] in ("llama", "mixtral"):
            continue
        period = values["full_attention_every"]
        assert point.num_hidden_layers >= period
        for index, layer in enumerate(point.layers):
            full = (index + 1) % period == 0
            window = layer.mixer.sliding_window
            share = 1.0 if full else values["window_share"]
            assert (window or point.max_position_embeddings) == share * (
                point.max_position_embeddings
            )
            rotated = not full or values.get("full_attention_rope", True)
            assert (layer.mixer.rope is not None) == rotated
        periods.add(period)
    assert periods == {2, 3}


@pytest.mark.parametrize(
    "limits",
    [
        ["num_params <= 8M", "num_active_params <= 4M"],
        ["num_params <= 3M"],
        ["flops_per_token <= 3M", "num_params >= 1M"],
    ],
)
def test_both_kinds_are_found_under_one_limit(limits):
    problem = Problem(
        space=_LARGER,
        objectives=("bits_per_byte",),
        limits=[Limit.parse(text) for text in limits],
        static_metrics=lambda point: {
            "num_params": float(point.num_params),
            "num_active_params": float(point.num_active_params),
            "flops_per_token": float(point.flops_per_token()),
        },
    )
    points = [sample_feasible(problem, random.Random(seed)) for seed in range(12)]
    assert all(problem.feasible(point) for point in points)
    experts = sum(point.layers[0].feed_forward.type == "mixture_of_experts" for point in points)
    assert 2 <= experts <= 10  # half of the families have experts


def test_moving_about_takes_milliseconds():
    space, rng = _LARGER, random.Random(0)
    points = [space.sample(rng) for _ in range(40)]
    start = time.process_time()
    for point in points:
        space.sample(rng)
        space.neighbours(space.mutate(point, rng))
    assert (time.process_time() - start) / len(points) < 0.1  # typically 0.005


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"families": ("mixtral",), "num_experts": (4,), "num_experts_per_tok": (8,)},
            "mixtral: .*num_experts_per_tok 8 of 4 experts leaves nothing to choose",
        ),
        (
            {"families": ("mixtral",), "num_experts": (4,), "num_experts_per_tok": (1,)},
            "gives the router of 'mixtral' no gradient",
        ),
        (
            {"families": ("olmoe",), "heads_per_kv_head": (2,)},
            "'olmoe' has one head per kv head, not 2",
        ),
        (
            {
                "families": ("granite_swa",),
                "window_shares": (1.0,),
                "full_attention_rope": (True,),
            },
            "is a 'llama'",
        ),
    ],
)
def test_an_empty_space_says_why(settings, message):
    with pytest.raises(ConfigError, match=message):
        presets.tiny(**settings)

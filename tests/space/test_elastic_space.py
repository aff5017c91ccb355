"""Which networks of a space can share weights."""

import pytest

from archsmith.architecture.elastic import sizes_of, why_not_inside
from archsmith.errors import ConfigError, InfeasibleError
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.space.elastic import elastic

CHOICES = {
    "families": ("llama",),
    "hidden_sizes": (32, 64),
    "depths": (1, 2, 3),
    "head_dims": (16,),
    "heads_per_kv_head": (1, 2),
    "intermediate_ratios": (1.5, 2.0, 3.0),
    "vocabularies": (Vocabulary(257, 64),),
    "tie_word_embeddings": (True,),
}


def test_every_network_of_the_space_is_a_part_of_the_largest():
    space = presets.tiny(**CHOICES)
    parts = elastic(space)
    networks = {point.network_hash: point for point in space.points()}
    assert all(why_not_inside(parts.largest, point) is None for point in networks.values())
    members = [parts.member(number) for number in range(len(parts.members))]
    assert {member.network_hash for member in members} == set(networks)
    assert len(members) == len(networks)
    assert parts.smallest.num_params == min(point.num_params for point in networks.values())
    assert [dimension.name for dimension in parts.dimensions] == [
        "num_hidden_layers", "hidden_size", "intermediate_ratio", "heads_per_kv_head",
    ]  # fmt: skip
    for options, size in zip(parts.members, parts.sizes, strict=True):
        assert size.hidden_size == int(parts.dimensions[1].options[options[1]])


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi", "phi3"])
def test_dense_families_can(family):
    choices = {**CHOICES, "families": (family,), "partial_rotary_factors": (0.5,)}
    parts = elastic(presets.tiny(**choices))
    assert sizes_of(parts.largest)[:3] == (3, 64, 192)


def test_limits_leave_networks_out_and_make_the_largest_smaller():
    space = presets.tiny(**CHOICES)
    parts = elastic(space, feasible=lambda point: point.num_params < 60_000)
    assert all(parts.member(n).num_params < 60_000 for n in range(len(parts.members)))
    assert parts.largest.num_params < elastic(space).largest.num_params
    with pytest.raises(InfeasibleError, match="no network"):
        elastic(space, feasible=lambda point: False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("llama", "phi")}, "one family of networks, the space has llama, phi"),
        ({"head_dims": (16, 32)}, "differ in head_dim cannot share weights"),
        ({"vocabularies": (Vocabulary(257, 64), Vocabulary(512, 48))}, "differ in vocabulary"),
        ({"tie_word_embeddings": (True, False)}, "differ in tie_word_embeddings"),
        (
            {"families": ("mixtral",), "num_experts": (4,), "num_experts_per_tok": (2,)},
            "mixture_of_experts",
        ),
    ],
)
def test_what_cannot_share_weights_is_told_why(changes, message):
    with pytest.raises(ConfigError, match=message):
        elastic(presets.tiny(**{**CHOICES, **changes}))

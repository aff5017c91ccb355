"""Networks that are parts of one largest network: fewer layers, narrower, fewer heads, all leading.

What a smaller network has of each weight is its leading rows and columns, and of the layers the
first ones (Yu et al. 2019, arXiv 1903.05134; Cai et al. 2020, arXiv 1908.09791). Heads keep their
size, so that a part of the heads is a part of the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from archsmith.architecture.tree import Architecture, Layer

_SHELL = (
    "vocab_size", "max_position_embeddings", "final_norm", "tie_word_embeddings", "lm_head_bias",
    "embedding_multiplier", "residual_multiplier", "logits_scaling",
)  # fmt: skip


class Sizes(NamedTuple):
    """What may differ between a network and its parts."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int


class ElasticDimension(NamedTuple):
    """A choice the parts differ in: its name, and its options as they are written."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Elastic:
    """A largest network and those of its parts that are searched.

    Attributes:
        largest: what holds all weights; it need not be one of the members.
        dimensions: the choices, each with at least two options.
        members: the option of each dimension, for every member, in ascending order.
        sizes: of every member.
    """

    largest: Architecture
    dimensions: tuple[ElasticDimension, ...]
    members: tuple[tuple[int, ...], ...]
    sizes: tuple[Sizes, ...]

    def __post_init__(self) -> None:
        assert len(self.members) == len(self.sizes) > 0, "an elastic network needs members"

    def member(self, number: int) -> Architecture:
        """The architecture of a member."""
        return shrink(self.largest, self.sizes[number])

    @cached_property
    def smallest(self) -> Architecture:
        """The member with the fewest parameters."""
        ordered = sorted(range(len(self.sizes)), key=lambda number: self.sizes[number])
        # few members can be the smallest: none that another one is below in everything
        found: list[int] = []
        for number in ordered:
            if not any(_below(self.sizes[other], self.sizes[number]) for other in found):
                found.append(number)
        return min((self.member(number) for number in found), key=lambda part: part.num_params)


def sizes_of(architecture: Architecture) -> Sizes:
    """The sizes of a network whose layers are alike."""
    layer = architecture.layers[0]
    mixer: Any = layer.mixer
    feed_forward: Any = layer.feed_forward
    return Sizes(
        architecture.num_hidden_layers,
        architecture.hidden_size,
        feed_forward.intermediate_size,
        mixer.num_attention_heads,
        mixer.num_key_value_heads,
    )


@lru_cache(maxsize=1 << 13)
def shrink(largest: Architecture, sizes: Sizes) -> Architecture:
    """The part of a network with these sizes."""
    layer = _resized(largest.layers[0], sizes)
    # made anew: a copy would keep counts and hashes of the original
    return Architecture(
        hidden_size=sizes.hidden_size,
        layers=(layer,) * sizes.num_hidden_layers,
        quantization=largest.quantization,
        **{name: getattr(largest, name) for name in _SHELL},
    )


def cover(sizes: Sequence[Sizes]) -> Sizes:
    """The smallest sizes that all of these fit in; key-value heads divide the heads."""
    largest = Sizes(*(max(values) for values in zip(*sizes, strict=True)))
    heads, at_least = largest.num_attention_heads, largest.num_key_value_heads
    fitting = next(kv for kv in range(at_least, heads + 1) if heads % kv == 0)
    return largest._replace(num_key_value_heads=fitting)


def why_not_elastic(architecture: Architecture) -> str | None:
    """Why a network cannot share its weights with smaller ones, or None."""
    first = architecture.layers[0]
    if any(layer != first for layer in architecture.layers):
        return "its layers are not alike"
    if first.mixer.type != "attention":
        return f"its mixer is '{first.mixer.type}', where weights are shared by heads of attention"
    if first.feed_forward.type not in ("mlp", "gated_mlp"):
        return (
            f"its feed-forward block is '{first.feed_forward.type}', where weights are shared by "
            "the width of one dense block"
        )
    return None


def why_not_inside(largest: Architecture, architecture: Architecture) -> str | None:
    """Why a network is no part of another one, or None. The file's quantization takes no part."""
    for whole in (largest, architecture):
        reason = why_not_elastic(whole)
        if reason is not None:
            return reason
    for name in _SHELL:
        given, wanted = getattr(architecture, name), getattr(largest, name)
        if given != wanted:
            return f"its {name} is {_shown(given)}, the supernet's {_shown(wanted)}"
    own, room = sizes_of(architecture), sizes_of(largest)
    for name, given, wanted in zip(Sizes._fields, own, room, strict=True):
        if given > wanted:
            return f"its {name} of {given} does not fit in the supernet's {wanted}"
    ours, theirs = architecture.layers[0], _resized(largest.layers[0], own)
    if ours != theirs:
        return f"its layers differ in more than size: {_first_difference(ours, theirs)}"
    return None


def _resized(layer: Layer, sizes: Sizes) -> Layer:
    heads = {
        "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
    }
    width = {"intermediate_size": sizes.intermediate_size}
    return layer.model_copy(
        update={
            "mixer": layer.mixer.model_copy(update=heads),
            "feed_forward": layer.feed_forward.model_copy(update=width),
        }
    )


def _first_difference(ours: Layer, theirs: Layer) -> str:
    one, other = ours.model_dump(), theirs.model_dump()
    for part in one:
        if one[part] == other[part]:
            continue
        if not isinstance(one[part], dict):
            return f"{part} is {_shown(one[part])}, the supernet's {_shown(other[part])}"
        for name, value in one[part].items():
            if value != other[part].get(name):
                wanted = _shown(other[part].get(name))
                return f"{part}.{name} is {_shown(value)}, the supernet's {wanted}"
    raise AssertionError("layers that differ differ somewhere")


def _shown(value: object) -> str:
    return str(value) if not hasattr(value, "model_dump_json") else value.model_dump_json()


def _below(one: Sizes, other: Sizes) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))

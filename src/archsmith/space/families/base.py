"""What every carrier family is: layers alike or in a short period, described by named choices.

A family turns a mapping of values into an architecture and back. Which choices a search offers
is the space's business; which values go together at all is the family's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import LongRope, Rope
from archsmith.architecture.tree import Architecture, Layer
from archsmith.space.dimensions import Dimension, Vocabulary, equal_context

# Bytes of text per token of byte-level BPE, measured on held-out Python sources and WikiText-2
# (mean of the two); only used while no tokenizer of the user's own text is known.
TYPICAL_BYTES_PER_TOKEN = {
    512: 2.1, 1024: 2.7, 2048: 3.1, 4096: 3.5, 8192: 3.9, 16384: 4.2, 32768: 4.4,
}  # fmt: skip

HIDDEN_SIZE = Dimension(
    "hidden_size",
    (*range(64, 512, 32), *range(512, 1024, 64), *range(1024, 2048, 128), 2048, 2560, 3072),
)
DEPTH = Dimension("num_hidden_layers", (*range(1, 16), *range(16, 32, 2), 32, 36, 40, 48))
HEAD_DIM = Dimension("head_dim", (32, 64, 128))
HEADS_PER_KV_HEAD = Dimension("heads_per_kv_head", (1, 2, 4, 8))
INTERMEDIATE_RATIO = Dimension("intermediate_ratio", (1.5, 2.0, 8 / 3, 3.5, 4.0))
VOCABULARY = Dimension("vocabulary", equal_context(TYPICAL_BYTES_PER_TOKEN, context_bytes=2048))
TIE_WORD_EMBEDDINGS = Dimension("tie_word_embeddings", (True, False))
ROPE_THETA = Dimension("rope_theta", (10_000.0, 500_000.0))
LONG_ROPE = Dimension("long_rope", (None,))
QUANTIZATION = Dimension("quantization", ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"))


# the dimensions whose choices add up to the feed-forward blocks that one token goes through
_BLOCKS = ("num_experts_per_tok", "num_shared_experts")


class Family(ABC):
    """Networks that one pair of stock loaders reads; every layer has equally many parameters.

    Attributes:
        name: the family's name, as in `families = ["llama"]`.
        dimensions: what can vary, with the choices offered by default.
        cosmetic: dimensions that never change the number of parameters nor the least depth.
        special_cases: other family -> the choices with which a point of this family *is* one of
            the other; they are left out where both families are in one space.
        final_norm: the last norm, and that of every layer.
        multipliers: fields of the tree that are the same in every point.
    """

    name: ClassVar[str]
    dimensions: ClassVar[tuple[Dimension, ...]]
    cosmetic: ClassVar[frozenset[str]] = frozenset(
        {"rope_theta", "partial_rotary_factor", "long_rope", "quantization"}
    )
    special_cases: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    final_norm: ClassVar[Norm] = Norm()
    residual: ClassVar[Literal["sequential", "parallel"]] = "sequential"
    lm_head_bias: ClassVar[bool] = False
    multipliers: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def mixer(self, values: Mapping[str, Any]) -> Mixer:
        """The mixer of the layer that is repeated; where layers differ, of the first."""

    @abstractmethod
    def feed_forward(self, values: Mapping[str, Any]) -> FeedForward:
        """The feed-forward block of every layer."""

    def layer(self, values: Mapping[str, Any], mixer: Mixer | None = None) -> Layer:
        """The layer that is repeated, or one with another mixer."""
        return Layer(
            mixer=self.mixer(values) if mixer is None else mixer,
            feed_forward=self.feed_forward(values),
            norm=self.final_norm,
            residual=self.residual,
        )

    def layers(self, values: Mapping[str, Any]) -> tuple[Layer, ...]:
        """All layers."""
        return (self.layer(values),) * values["num_hidden_layers"]

    def least_depth(self, values: Mapping[str, Any]) -> int:
        """The fewest layers with which these values differ from others: one whole period."""
        return 1

    def build(self, values: Mapping[str, Any]) -> Architecture:
        """The architecture with these values. Raises ValueError where they do not go together."""
        return Architecture(
            hidden_size=values["hidden_size"],
            vocab_size=values["vocabulary"].vocab_size,
            max_position_embeddings=values["vocabulary"].context_tokens,
            layers=self.layers(values),
            final_norm=self.final_norm,
            tie_word_embeddings=values.get("tie_word_embeddings", False),
            lm_head_bias=self.lm_head_bias,
            quantization=values["quantization"],
            **self.multipliers,
        )

    def values(self, architecture: Architecture) -> dict[str, Any] | None:
        """The values that build exactly this architecture; None if the family has none."""
        if architecture.final_norm != self.final_norm:
            return None
        found = self.read(architecture)
        if found is None or self.explain(found) is not None:
            return None
        wanted = {dimension.name for dimension in self.dimensions}
        found = {name: value for name, value in found.items() if name in wanted}
        if len(found) < len(wanted):
            return None
        return found if self.build(found) == architecture else None

    def read(self, architecture: Architecture) -> dict[str, Any] | None:
        """What the first layer says of the values, or None; `values` checks the rest."""
        if architecture.layers[0].mixer.type != "attention":
            return None
        return read_layer(architecture, architecture.layers[0])

    def explain(self, values: Mapping[str, Any]) -> str | None:
        """Why these values do not go together, or None.

        Depth, feed-forward width, vocabulary, rotary base and quantization take no part in it
        and may be absent.
        """
        hidden_size, head_dim = values["hidden_size"], values["head_dim"]
        if hidden_size % head_dim:
            return f"head_dim {head_dim} does not divide hidden_size {hidden_size}"
        heads = hidden_size // head_dim
        if heads % values["heads_per_kv_head"]:
            return f"{values['heads_per_kv_head']} heads per kv head do not divide {heads} heads"
        rotated = head_dim * values.get("partial_rotary_factor", 1.0)
        if abs(rotated - round(rotated)) > 1e-6 or round(rotated) % 2:
            # transformers and llama.cpp truncate such a number differently
            return f"{rotated:g} rotated features of a head are not a whole even number"
        long_rope: LongRope | None = values.get("long_rope")
        if long_rope is not None and len(long_rope.short_factor) != round(rotated) // 2:
            return (
                f"LongRoPE factors for {len(long_rope.short_factor)} pairs of features "
                f"do not fit the {round(rotated) // 2} of a head"
            )
        return None


def attention(
    values: Mapping[str, Any], *, qk_norm: bool = False, qkv_bias: bool = False, **more: Any
) -> Attention:
    """Attention whose heads together are as wide as the network."""
    heads = values["hidden_size"] // values["head_dim"]
    return Attention(
        num_attention_heads=heads,
        num_key_value_heads=heads // values["heads_per_kv_head"],
        head_dim=values["head_dim"],
        rope=Rope(
            theta=values["rope_theta"],
            partial_rotary_factor=values.get("partial_rotary_factor", 1.0),
            long_rope=values.get("long_rope"),
        ),
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        **more,
    )


def intermediate_size(hidden_size: int, intermediate_ratio: float, blocks: int = 1) -> int:
    """Width of each of `blocks` feed-forward blocks that share a ratio of the network's width.

    To the nearest multiple of 32. A token that goes through several experts has as many FLOPs as
    with one dense block of the same ratio.
    """
    return max(32, 32 * round(hidden_size * intermediate_ratio / blocks / 32))


def blocks_per_token(values: Mapping[str, Any]) -> int:
    """Feed-forward blocks that one token goes through: experts and shared experts, or one."""
    return sum(values[name] for name in _BLOCKS if name in values) or 1


def feed_forward_width(values: Mapping[str, Any]) -> int:
    """Width of the feed-forward block, or of one expert."""
    return intermediate_size(
        values["hidden_size"], values["intermediate_ratio"], blocks_per_token(values)
    )


def read_layer(architecture: Architecture, layer: Layer) -> dict[str, Any] | None:
    """The values that a layer of a network shows, under the names of dimensions."""
    rope, block = layer.mixer.rope, layer.feed_forward
    if rope is None:
        return None
    width: int | None = getattr(block, "intermediate_size", None)
    if isinstance(block, MixtureOfExperts):
        width = block.active_intermediate_size
    if width is None:
        return None
    values: dict[str, Any] = {
        "hidden_size": architecture.hidden_size,
        "num_hidden_layers": architecture.num_hidden_layers,
        "head_dim": layer.mixer.head_dim,
        "heads_per_kv_head": layer.mixer.num_attention_heads // layer.mixer.num_key_value_heads,
        "intermediate_ratio": width / architecture.hidden_size,
        "vocabulary": Vocabulary(architecture.vocab_size, architecture.max_position_embeddings),
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "rope_theta": rope.theta,
        "partial_rotary_factor": rope.partial_rotary_factor,
        "long_rope": rope.long_rope,
        "quantization": architecture.quantization,
    }
    if isinstance(block, MixtureOfExperts):
        shared = block.shared_expert_intermediate_size or 0
        values["num_experts"] = block.num_experts
        values["num_experts_per_tok"] = block.num_experts_per_tok
        if shared:
            values["num_shared_experts"] = shared // block.moe_intermediate_size
    return values

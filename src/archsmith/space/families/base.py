"""What every carrier family is: networks of identical layers, described by named choices.

A family turns a mapping of values into an architecture and back. Which choices a search offers
is the space's business; which values go together at all is the family's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
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
QUANTIZATION = Dimension("quantization", ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"))


class Family(ABC):
    """Networks that one pair of stock loaders reads: all layers are alike.

    Attributes:
        name: the family's name, as in `families = ["llama"]`.
        dimensions: what can vary, with the choices offered by default.
        cosmetic: dimensions that never change the number of parameters.
        special_cases: other family -> (dimension, choice) with which a point of this family *is*
            one of the other; the choice is left out where both families are in one space.
    """

    name: ClassVar[str]
    dimensions: ClassVar[tuple[Dimension, ...]]
    cosmetic: ClassVar[frozenset[str]] = frozenset(
        {"rope_theta", "partial_rotary_factor", "quantization"}
    )
    special_cases: ClassVar[Mapping[str, tuple[str, Any]]] = {}
    final_norm: ClassVar[Norm] = Norm()
    lm_head_bias: ClassVar[bool] = False

    @abstractmethod
    def layer(self, values: Mapping[str, Any]) -> Layer:
        """The layer that is repeated."""

    def build(self, values: Mapping[str, Any]) -> Architecture:
        """The architecture with these values. Raises ValueError where they do not go together."""
        return Architecture(
            hidden_size=values["hidden_size"],
            vocab_size=values["vocabulary"].vocab_size,
            max_position_embeddings=values["vocabulary"].context_tokens,
            layers=(self.layer(values),) * values["num_hidden_layers"],
            final_norm=self.final_norm,
            tie_word_embeddings=values.get("tie_word_embeddings", False),
            lm_head_bias=self.lm_head_bias,
            quantization=values["quantization"],
        )

    def values(self, architecture: Architecture) -> dict[str, Any] | None:
        """The values that build exactly this architecture; None if the family has none."""
        if not isinstance(architecture.layers[0].mixer, Attention):
            return None
        values = _read(architecture)
        if values is None or self.explain(values) is not None:
            return None
        wanted = {dimension.name for dimension in self.dimensions}
        values = {name: value for name, value in values.items() if name in wanted}
        return values if self.build(values) == architecture else None

    def explain(self, values: Mapping[str, Any]) -> str | None:
        """Why these values do not go together, or None.

        Depth, feed-forward width and vocabulary take no part in it and may be absent.
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
        return None


def attention(values: Mapping[str, Any], *, qk_norm: bool = False, bias: bool = False) -> Attention:
    """Attention whose heads together are as wide as the network."""
    heads = values["hidden_size"] // values["head_dim"]
    return Attention(
        num_attention_heads=heads,
        num_key_value_heads=heads // values["heads_per_kv_head"],
        head_dim=values["head_dim"],
        rope=Rope(
            theta=values["rope_theta"],
            partial_rotary_factor=values.get("partial_rotary_factor", 1.0),
        ),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm=qk_norm,
    )


def intermediate_size(hidden_size: int, intermediate_ratio: float) -> int:
    """Feed-forward width: the ratio times the width, to the nearest multiple of 32."""
    return max(32, 32 * round(hidden_size * intermediate_ratio / 32))


def _read(architecture: Architecture) -> dict[str, Any] | None:
    layer = architecture.layers[0]
    rope = layer.mixer.rope
    width = getattr(layer.feed_forward, "intermediate_size", None)
    if rope is None or width is None:
        return None
    return {
        "hidden_size": architecture.hidden_size,
        "num_hidden_layers": architecture.num_hidden_layers,
        "head_dim": layer.mixer.head_dim,
        "heads_per_kv_head": layer.mixer.num_attention_heads // layer.mixer.num_key_value_heads,
        "intermediate_ratio": width / architecture.hidden_size,
        "vocabulary": Vocabulary(architecture.vocab_size, architecture.max_position_embeddings),
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "rope_theta": rope.theta,
        "partial_rotary_factor": rope.partial_rotary_factor,
        "quantization": architecture.quantization,
    }

"""Phi-3-small-like networks (Abdin et al. 2024, arXiv 2404.14219): block-sparse layers.

No stock class of transformers and no architecture of llama.cpp holds them; they are for training.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.architecture.norm import Norm
from archsmith.architecture.tree import Architecture
from archsmith.space.dimensions import Dimension
from archsmith.space.families import _periodic, base


class Phi3Small(_periodic.PeriodicFamily):
    """Block-sparse layers between dense ones, LayerNorm, biases, GEGLU cut off at 20, muP's
    multipliers, always tied. Of earlier blocks the nearest 16 and every eighth are seen."""

    name = "phi_3_small"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        base.HIDDEN_SIZE,
        base.DEPTH,
        base.HEAD_DIM,
        base.HEADS_PER_KV_HEAD,
        base.INTERMEDIATE_RATIO,
        base.VOCABULARY,
        Dimension("tie_word_embeddings", (True,)),
        base.ROPE_THETA,
        base.QUANTIZATION,
        Dimension(_periodic.PERIOD, (2,)),
        Dimension("block_size", (4, 16, 64)),
    )
    cosmetic: ClassVar[frozenset[str]] = base.Family.cosmetic | {"block_size"}
    final_norm = Norm(type="layer")
    multipliers: ClassVar[Mapping[str, float]] = {
        "embedding_multiplier": 10.0,
        "logits_scaling": 8.0,
    }

    def mixer(self, values: Mapping[str, Any]) -> BlockSparseAttention:
        dense = self.full_mixer(values)
        fields = {name: getattr(dense, name) for name in type(dense).model_fields}
        sparse = {"type": "block_sparse_attention", "block_size": values["block_size"]}
        return BlockSparseAttention(**{**fields, **sparse})

    def full_mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(
            values, qkv_bias=True, output_bias=True, attention_multiplier=1.0 / values["head_dim"]
        )

    def feed_forward(self, values: Mapping[str, Any]) -> GatedMlp:
        return GatedMlp(
            intermediate_size=base.feed_forward_width(values),
            activation="gegelu",
            activation_limit=20.0,
            bias=True,
        )

    def read(self, architecture: Architecture) -> dict[str, Any] | None:
        first, period = architecture.layers[0], _periodic.read_period(architecture)
        if period is None or not isinstance(first.mixer, BlockSparseAttention):
            return None
        found = base.read_layer(architecture, first)
        if found is None:
            return None
        return {**found, _periodic.PERIOD: period, "block_size": first.mixer.block_size}

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if not values.get("tie_word_embeddings", True):
            return "'phi_3_small' is always tied"
        return super().explain(values)


PART = Phi3Small()

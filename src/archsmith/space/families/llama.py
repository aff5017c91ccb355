"""Llama-like networks (Touvron et al. 2023, arXiv 2302.13971): RMSNorm, SwiGLU, full rotary."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.space.dimensions import Dimension
from archsmith.space.families import base


class Llama(base.Family):
    """Sequential residual, no biases. Heads together are as wide as the network."""

    name = "llama"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        base.HIDDEN_SIZE,
        base.DEPTH,
        base.HEAD_DIM,
        base.HEADS_PER_KV_HEAD,
        base.INTERMEDIATE_RATIO,
        base.VOCABULARY,
        base.TIE_WORD_EMBEDDINGS,
        base.ROPE_THETA,
        base.QUANTIZATION,
    )

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values)

    def feed_forward(self, values: Mapping[str, Any]) -> FeedForward:
        return GatedMlp(intermediate_size=base.feed_forward_width(values))


PART = Llama()

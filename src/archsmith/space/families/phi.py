"""phi-1 to phi-2 (Gunasekar et al. 2023, arXiv 2306.11644): attention and MLP side by side."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.space.dimensions import Dimension
from archsmith.space.families import base


class Phi(base.Family):
    """One LayerNorm per layer feeds attention and a plain GELU MLP; biases everywhere, the output
    head's included; rotary on a part of each head; never tied (its loaders know no other form)."""

    name = "phi"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        base.HIDDEN_SIZE,
        base.DEPTH,
        base.HEAD_DIM,
        base.HEADS_PER_KV_HEAD,
        Dimension("intermediate_ratio", (2.0, 3.0, 4.0)),
        base.VOCABULARY,
        base.ROPE_THETA,
        Dimension("partial_rotary_factor", (0.5, 1.0)),
        base.QUANTIZATION,
    )
    final_norm = Norm(type="layer")
    residual = "parallel"
    lm_head_bias = True

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values, qkv_bias=True, output_bias=True)

    def feed_forward(self, values: Mapping[str, Any]) -> Mlp:
        return Mlp(intermediate_size=base.feed_forward_width(values))


PART = Phi()

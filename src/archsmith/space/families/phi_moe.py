"""Phi-3.5-MoE-like networks (Abdin et al. 2024, arXiv 2404.14219): SparseMixer and LayerNorm.

Held by transformers alone: what llama.cpp calls `phimoe` computes another norm and router.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.norm import Norm
from archsmith.space.dimensions import Dimension
from archsmith.space.families import base
from archsmith.space.families._experts import NUM_EXPERTS, ExpertFamily


class PhiMoe(ExpertFamily):
    """LayerNorm, biases in attention and output head, two experts per token, never tied."""

    name = "phi_moe"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        base.HIDDEN_SIZE,
        base.DEPTH,
        base.HEAD_DIM,
        base.HEADS_PER_KV_HEAD,
        base.INTERMEDIATE_RATIO,
        base.VOCABULARY,
        base.ROPE_THETA,
        base.LONG_ROPE,
        base.QUANTIZATION,
        NUM_EXPERTS,
        Dimension("num_experts_per_tok", (2,)),
    )
    final_norm = Norm(type="layer")
    lm_head_bias = True
    routing: ClassVar[Mapping[str, Any]] = {"router": "sparsemixer"}
    attention: ClassVar[Mapping[str, Any]] = {"qkv_bias": True, "output_bias": True}

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if values["num_experts_per_tok"] != 2:
            return f"'phi_moe' takes 2 experts per token, not {values['num_experts_per_tok']}"
        return super().explain(values)


PART = PhiMoe()

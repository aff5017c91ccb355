"""Qwen2-MoE-like networks (Yang et al. 2024, arXiv 2407.10671): experts beside a shared one."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.norm import Norm
from archsmith.space.dimensions import Dimension
from archsmith.space.families._experts import ExpertFamily


class Qwen2Moe(ExpertFamily):
    """Every token goes through a shared block too, as wide as `num_shared_experts` experts and
    weighted by a gate of its own; queries, keys and values have biases; the router's weights are
    left as the softmax gives them."""

    name = "qwen2_moe"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        *ExpertFamily.dimensions,
        Dimension("num_shared_experts", (1, 2, 4)),
    )
    final_norm = Norm(eps=1e-6)
    routing: ClassVar[Mapping[str, Any]] = {"norm_topk_prob": False, "shared_expert_gate": True}
    attention: ClassVar[Mapping[str, Any]] = {"qkv_bias": True}

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if not values["num_shared_experts"]:
            return "num_shared_experts 0 is 'mixtral' or 'olmoe'; 'qwen2_moe' needs at least 1"
        return super().explain(values)


PART = Qwen2Moe()

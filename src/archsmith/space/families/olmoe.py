"""OLMoE-like networks (Muennighoff et al. 2024, arXiv 2409.02060): as many keys as heads."""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.space.dimensions import Dimension
from archsmith.space.families._experts import ExpertFamily


class Olmoe(ExpertFamily):
    """All queries, and all keys, are normalized together; the router's weights are left as the
    softmax gives them; heads share no keys (llama.cpp refuses such a file)."""

    name = "olmoe"
    dimensions: ClassVar[tuple[Dimension, ...]] = tuple(
        Dimension("heads_per_kv_head", (1,)) if d.name == "heads_per_kv_head" else d
        for d in ExpertFamily.dimensions
    )
    routing: ClassVar[Mapping[str, Any]] = {"norm_topk_prob": False}
    attention: ClassVar[Mapping[str, Any]] = {"qk_norm": True, "qk_norm_over": "all_heads"}

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if values["heads_per_kv_head"] != 1:
            return f"'olmoe' has one head per kv head, not {values['heads_per_kv_head']}"
        return super().explain(values)


PART = Olmoe()

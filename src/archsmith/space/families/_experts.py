"""Experts instead of one feed-forward block, on a grid from few wide to many narrow ones.

An expert is as wide as the dense block of equal active size divided by the experts that a token
goes through. That number, `num_experts_per_tok` with the shared experts, is the granularity of
Krajewski et al. 2024 (arXiv 2402.07871); `num_experts` over it is their expansion rate. So
`intermediate_ratio` means the same FLOPs with experts and without.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture
from archsmith.space.dimensions import Dimension
from archsmith.space.families import base
from archsmith.space.families.llama import Llama

NUM_EXPERTS = Dimension("num_experts", (4, 8, 16, 32, 64))
NUM_EXPERTS_PER_TOK = Dimension("num_experts_per_tok", (1, 2, 4, 8))


class ExpertFamily(Llama):
    """Llama-like layers with `MixtureOfExperts`; what differs between families are class fields.

    Attributes:
        routing: fields of the block that are the same in every point.
        attention: keyword arguments of `base.attention`.
    """

    dimensions: ClassVar[tuple[Dimension, ...]] = (
        *Llama.dimensions,
        NUM_EXPERTS,
        NUM_EXPERTS_PER_TOK,
    )
    routing: ClassVar[Mapping[str, Any]] = {}
    attention: ClassVar[Mapping[str, Any]] = {}

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values, **self.attention)

    def feed_forward(self, values: Mapping[str, Any]) -> MixtureOfExperts:
        width = base.feed_forward_width(values)
        shared = values.get("num_shared_experts", 0)
        return MixtureOfExperts(
            num_experts=values["num_experts"],
            num_experts_per_tok=values["num_experts_per_tok"],
            moe_intermediate_size=width,
            shared_expert_intermediate_size=shared * width or None,
            **self.routing,
        )

    def read(self, architecture: Architecture) -> dict[str, Any] | None:
        if not isinstance(architecture.layers[0].feed_forward, MixtureOfExperts):
            return None
        return super().read(architecture)

    def explain(self, values: Mapping[str, Any]) -> str | None:
        used, experts = values["num_experts_per_tok"], values["num_experts"]
        if used >= experts:
            return (
                f"num_experts_per_tok {used} of {experts} experts leaves nothing to choose: "
                "it has to be smaller"
            )
        if used == 1 and self.routing.get("norm_topk_prob", True):
            # divided by its own sum the weight is always 1, and the router learns nothing from text
            return f"num_experts_per_tok 1 gives the router of '{self.name}' no gradient"
        return super().explain(values)

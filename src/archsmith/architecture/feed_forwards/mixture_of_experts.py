"""Sparsely gated mixture of experts (Shazeer et al. 2017, arXiv 1701.06538; Fedus et al. 2021)."""

from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from archsmith.architecture.feed_forwards.base import FeedForward


class MixtureOfExperts(FeedForward):
    """Each token goes through `num_experts_per_tok` of `num_experts` gated blocks.

    Routers:
        softmax: the largest of softmax(logits) (Mixtral arXiv 2401.04088, OLMoE arXiv 2409.02060,
            Qwen3-MoE); divided by their sum with `norm_topk_prob`.
        sigmoid: the largest of sigmoid(logits) + a correction bias, weighted by sigmoid(logits),
            divided by their sum with `norm_topk_prob` (DeepSeek-V3 arXiv 2412.19437).
        sparsemixer: Phi-3.5-MoE's (arXiv 2409.12136): experts are taken one after the other, each
            weighted by a softmax over the logits within 2 `router_jitter_noise` of the largest;
            two per token.

    Attributes:
        moe_intermediate_size: width of one expert.
        shared_expert_intermediate_size: width of a block that every token goes through as well.
        shared_expert_gate: whether the shared block is weighted by a sigmoid of the input
            (Qwen2-MoE).
    """

    type: Literal["mixture_of_experts"] = "mixture_of_experts"
    num_experts: PositiveInt
    num_experts_per_tok: PositiveInt
    moe_intermediate_size: PositiveInt
    activation: Literal["silu"] = "silu"
    router: Literal["softmax", "sigmoid", "sparsemixer"] = "softmax"
    norm_topk_prob: bool = True
    router_jitter_noise: NonNegativeFloat = 0.01
    shared_expert_intermediate_size: PositiveInt | None = None
    shared_expert_gate: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_experts_per_tok > self.num_experts:
            raise ValueError(
                f"num_experts_per_tok must be at most num_experts, "
                f"got {self.num_experts_per_tok} and {self.num_experts}"
            )
        if self.router == "sparsemixer" and self.num_experts_per_tok != 2:
            raise ValueError(
                f"the sparsemixer router takes 2 experts per token, got {self.num_experts_per_tok}"
            )
        if self.shared_expert_gate and self.shared_expert_intermediate_size is None:
            raise ValueError("shared_expert_gate needs shared_expert_intermediate_size")
        return self

    @property
    def active_intermediate_size(self) -> int:
        """Width of all blocks that one token goes through: that of a dense block of equal FLOPs."""
        routed = self.num_experts_per_tok * self.moe_intermediate_size
        return routed + (self.shared_expert_intermediate_size or 0)

    def expert_params(self, hidden_size: int) -> int:
        """Parameters of one expert."""
        return 3 * hidden_size * self.moe_intermediate_size

    def num_params(self, hidden_size: int) -> int:
        return self.num_experts * self.expert_params(hidden_size) + self._shared(hidden_size)

    def num_active_params(self, hidden_size: int) -> int:
        active = self.num_experts_per_tok * self.expert_params(hidden_size)
        return active + self._shared(hidden_size)

    def matmul_params(self, hidden_size: int) -> int:
        # the correction bias takes part in no product
        return self.num_active_params(hidden_size) - self._correction()

    def _shared(self, hidden_size: int) -> int:
        """What every token passes: router, correction bias, shared block and its gate."""
        shared = 3 * hidden_size * (self.shared_expert_intermediate_size or 0)
        gate = hidden_size * self.shared_expert_gate
        return hidden_size * self.num_experts + self._correction() + shared + gate

    def _correction(self) -> int:
        return self.num_experts if self.router == "sigmoid" else 0


PART = MixtureOfExperts

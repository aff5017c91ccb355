"""Mixture of experts (Shazeer et al. 2017, arXiv 1701.06538): a few of many gated blocks a token.

Weights of all experts lie in one tensor per matrix, as in transformers 5; a shared block and its
gate are Qwen2-MoE's. Letters: X experts, F width of an expert, N = B·T rows.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.model.feed_forwards.base import FeedForwardModule
from archsmith.model.feed_forwards.gated_mlp import GatedMlpModule
from archsmith.model.kernels.base import Kernels
from archsmith.model.routers import Router
from archsmith.model.routing import Routing


class MixtureOfExpertsModule(FeedForwardModule):
    """Sum of the chosen experts, weighted by the router, and of the shared block."""

    weight_name = "mlp"
    routes = True

    def __init__(self, spec: MixtureOfExperts, hidden_size: int) -> None:
        super().__init__(spec, hidden_size)
        self.gate = Router(spec, hidden_size)
        self.experts = Experts(spec, hidden_size)
        self.shared_expert = None
        self.shared_expert_gate = None
        if spec.shared_expert_intermediate_size is not None:
            shared = GatedMlp(
                intermediate_size=spec.shared_expert_intermediate_size, activation=spec.activation
            )
            self.shared_expert = GatedMlpModule(shared, hidden_size)
        if spec.shared_expert_gate:
            self.shared_expert_gate = nn.Linear(hidden_size, 1, bias=False)

    def forward(
        self, x: Float[Tensor, "B T D"], *, kernels: Kernels, routing: Routing | None = None
    ) -> Float[Tensor, "B T D"]:
        """Transform every position; with a `routing` as in training, noise included."""
        jitter = self.spec.router_jitter_noise
        if routing is not None and self.spec.router == "sparsemixer" and jitter > 0:
            noise = torch.empty_like(x, requires_grad=False)
            x = x * noise.uniform_(1 - jitter, 1 + jitter, generator=routing.generator)
        rows = x.flatten(0, 1)
        experts = self.experts
        mixed = kernels.experts(
            rows,
            self.gate(rows, routing),
            experts.gate_proj,
            experts.up_proj,
            experts.down_proj,
        ).view(x.shape)
        if self.shared_expert is None:
            return mixed
        shared = self.shared_expert(x, kernels=kernels)
        if self.shared_expert_gate is not None:
            shared = shared * self.shared_expert_gate(x).sigmoid()
        return mixed + shared


class Experts(nn.Module):
    """The weights of X gated blocks; what is done with them is the kernels' business."""

    def __init__(self, spec: MixtureOfExperts, hidden_size: int) -> None:
        super().__init__()
        inner = (spec.num_experts, spec.moe_intermediate_size, hidden_size)
        self.gate_proj = nn.Parameter(torch.empty(inner))
        self.up_proj = nn.Parameter(torch.empty(inner))
        self.down_proj = nn.Parameter(torch.empty(inner[0], inner[2], inner[1]))


PART = MixtureOfExpertsModule

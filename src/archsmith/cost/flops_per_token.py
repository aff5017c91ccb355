"""Forward FLOPs per token at the context counted: twice the matmul weights, plus attention. Exact
as a count of multiplications and additions; norms and activations are left out, as is usual."""

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel


def flops_per_token(architecture: Architecture, context: CostContext) -> float:
    """Forward FLOPs per token, averaged over a causal context."""
    return float(architecture.flops_per_token(context.context_length))


PART = CostModel("flops_per_token", exact=True, estimate=flops_per_token)

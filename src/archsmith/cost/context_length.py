"""Tokens of context the network is trained for and declares in its files. Exact."""

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel


def context_length(architecture: Architecture, context: CostContext) -> float:
    """`max_position_embeddings`."""
    return float(architecture.max_position_embeddings)


PART = CostModel("context_length", exact=True, estimate=context_length)

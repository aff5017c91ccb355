"""Parameters of the network; a tied table counts once. Exact."""

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel


def num_params(architecture: Architecture, context: CostContext) -> float:
    """Parameters."""
    return float(architecture.num_params)


PART = CostModel("num_params", exact=True, estimate=num_params)

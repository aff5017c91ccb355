"""Parameters used for one token: all of them without experts. Exact."""

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel


def num_active_params(architecture: Architecture, context: CostContext) -> float:
    """Parameters used for one token."""
    return float(architecture.num_active_params)


PART = CostModel("num_active_params", exact=True, estimate=num_active_params)

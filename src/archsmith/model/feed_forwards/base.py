"""What every feed-forward module answers."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from archsmith.model.kernels.base import Kernels


class FeedForwardModule(nn.Module, ABC):
    """A block on each position alone. `weight_name` is its name inside a layer.

    A block that `routes` tokens to experts also takes `routing: Routing | None`, which is given
    while training: `archsmith.model.routing`.
    """

    weight_name: ClassVar[str]
    routes: ClassVar[bool] = False

    def __init__(self, spec: Any, hidden_size: int) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, x: Float[Tensor, "B T D"], *, kernels: Kernels) -> Float[Tensor, "B T D"]:
        """Transform every position."""

"""What optimizers share: the tensors they move, and state that can be saved."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Target(NamedTuple):
    """One tensor to move. At factor 1 a step takes the share `decay` away and moves by the rate."""

    name: str
    master: Tensor
    gradient: Tensor
    learning_rate: float
    decay: float


class Optimizer(ABC):
    """Moves its targets' masters along their gradients."""

    @abstractmethod
    def step(self, *, number: int, factor: float) -> None:
        """Update `number` (from 0), at `factor` times the full rates."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The live state by name; copying into these tensors restores it."""

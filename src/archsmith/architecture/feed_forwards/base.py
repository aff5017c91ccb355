"""What every feed-forward spec answers."""

from abc import ABC, abstractmethod

from archsmith.config import Spec


class FeedForward(Spec, ABC):
    """A block that acts on each position alone. Formulas are per layer."""

    type: str

    @abstractmethod
    def num_params(self, hidden_size: int) -> int:
        """Parameters of the block."""

    @abstractmethod
    def matmul_params(self, hidden_size: int) -> int:
        """Weights that take part in a matrix product for one token (the active ones)."""

    def num_active_params(self, hidden_size: int) -> int:
        """Parameters used for one token; fewer than all only with experts."""
        return self.num_params(hidden_size)

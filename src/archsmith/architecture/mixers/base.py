"""What every mixer spec answers."""

from abc import ABC, abstractmethod

from archsmith.config import Spec


class Mixer(Spec, ABC):
    """A block that mixes positions. Formulas are per layer, for an input of `hidden_size`."""

    type: str

    @abstractmethod
    def num_params(self, hidden_size: int) -> int:
        """Parameters of the block, its norms of heads included, the layer's norm not."""

    @abstractmethod
    def matmul_params(self, hidden_size: int) -> int:
        """Weights that take part in a matrix product for every token."""

    @abstractmethod
    def mixing_flops(self, context_length: int) -> int:
        """Forward FLOPs per token beyond the weights' products, averaged over a causal context."""

    @abstractmethod
    def cache_elements(self, context_length: int) -> int:
        """Numbers kept for generation after `context_length` tokens."""

    def explain(self, hidden_size: int) -> str | None:
        """Why the block cannot stand in a network of this width, or None."""
        return None

"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), full or on a part of each head."""

from pydantic import Field, PositiveFloat

from archsmith.config import Spec


class Rope(Spec):
    """Rotates the first `partial_rotary_factor` of every head, half-split as in transformers."""

    theta: PositiveFloat = 10_000.0
    partial_rotary_factor: float = Field(default=1.0, gt=0.0, le=1.0)

    def rotary_dim(self, head_dim: int) -> int:
        """Rotated features of a head: an even number, as transformers truncates it."""
        return int(head_dim * self.partial_rotary_factor) // 2 * 2

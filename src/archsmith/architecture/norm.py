"""Normalization of a vector: root-mean-square (Zhang & Sennrich 2019) or LayerNorm (Ba 2016)."""

from typing import Literal

from pydantic import PositiveFloat

from archsmith.config import Spec


class Norm(Spec):
    """`rms` has a weight; `layer` has a weight and a bias, as in `torch.nn.LayerNorm`."""

    type: Literal["rms", "layer"] = "rms"
    eps: PositiveFloat = 1e-5

    def num_params(self, width: int) -> int:
        """Parameters of a norm over `width` features."""
        return width if self.type == "rms" else 2 * width

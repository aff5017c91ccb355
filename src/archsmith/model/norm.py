"""The two norms as modules; both take the kernels to use."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.norm import Norm
from archsmith.model.kernels.base import Kernels


class RmsNorm(nn.Module):
    """x / rms(x) * weight over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*S D"], kernels: Kernels) -> Float[Tensor, "*S D"]:
        """Normalize over the last axis."""
        return kernels.rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.Module):
    """LayerNorm (Ba et al. 2016, arXiv 1607.06450); torch's kernel is fused already."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*S D"], kernels: Kernels) -> Float[Tensor, "*S D"]:
        """Normalize over the last axis."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def build_norm(spec: Norm, width: int) -> RmsNorm | LayerNorm:
    """The module of a norm over `width` features."""
    if spec.type == "rms":
        return RmsNorm(width, spec.eps)
    return LayerNorm(width, spec.eps)

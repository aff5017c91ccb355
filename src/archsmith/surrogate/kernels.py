"""Covariances and the mean that a process is put together from, as GPyTorch modules.

`diag=True` asks for the covariance of each point with itself alone, as GPyTorch calls them.
"""

import torch
from gpytorch.kernels import Kernel
from gpytorch.means import Mean


class MeanColumn(Mean):
    """The last column."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., -1]


class Slopes(Kernel):
    """Inner products of some columns: a linear model with standard normal weights."""

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        diag: bool = False,  # noqa: FBT001 - GPyTorch's own signature
        **params: object,
    ) -> torch.Tensor:
        if diag:
            return (x1 * x2).sum(-1)
        return x1 @ x2.transpose(-1, -2)


class Choices(Kernel):
    """exp(-sum over choices that differ of 1 / length), on one-hot columns."""

    has_lengthscale = True

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        diag: bool = False,  # noqa: FBT001 - GPyTorch's own signature
        **params: object,
    ) -> torch.Tensor:
        weight = 0.5 / self.lengthscale  # a choice that differs differs in two columns
        if diag:
            return torch.exp(-((x1 - x2).abs() * weight).sum(-1))
        # |a - b| = a + b - 2ab for zeros and ones
        own, other = (x1 * weight).sum(-1, keepdim=True), (x2 * weight).sum(-1, keepdim=True)
        both = (x1 * weight) @ x2.transpose(-1, -2)
        return torch.exp(-(own + other.transpose(-1, -2) - 2 * both).clamp_min(0))


class Trunk(Kernel):
    """1 for equal numbers, fading with the distance of the text's logarithms; else 0."""

    has_lengthscale = True

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        diag: bool = False,  # noqa: FBT001 - GPyTorch's own signature
        **params: object,
    ) -> torch.Tensor:
        text1, text2 = x1[..., 0], x2[..., 0]
        trunk1, trunk2 = x1[..., 1], x2[..., 1]
        if not diag:
            text1, text2 = text1.unsqueeze(-1), text2.unsqueeze(-2)
            trunk1, trunk2 = trunk1.unsqueeze(-1), trunk2.unsqueeze(-2)
        fading = torch.exp(-(text1 - text2).abs() / self.lengthscale.squeeze(-1))
        return (trunk1 == trunk2).to(fading.dtype) * fading


class Constant(Kernel):
    """An unknown constant of standard deviation 1."""

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        diag: bool = False,  # noqa: FBT001 - GPyTorch's own signature
        **params: object,
    ) -> torch.Tensor:
        if diag:
            return torch.ones(x1.shape[:-1], dtype=x1.dtype)
        shape = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
        return torch.ones(*shape, x1.shape[-2], x2.shape[-2], dtype=x1.dtype)

"""Covariances that a process is put together from, as GPyTorch modules, and their dense values.

`diag=True` asks for the covariance of each point with itself alone, as GPyTorch calls them.
"""

import torch
from gpytorch.kernels import AdditiveKernel, Kernel, ProductKernel, ScaleKernel


def dense(
    kernel: Kernel, x1: torch.Tensor, x2: torch.Tensor, *, diag: bool = False
) -> torch.Tensor:
    """The covariance of points as a plain matrix, [n1, n2]; with `diag` of the i-th with the i-th.

    GPyTorch's own evaluation goes through lazy tensors, which for some hundred points take most of
    the time.
    """
    if isinstance(kernel, ScaleKernel):
        return kernel.outputscale * dense(kernel.base_kernel, x1, x2, diag=diag)
    if isinstance(kernel, AdditiveKernel | ProductKernel):
        parts = [dense(part, x1, x2, diag=diag) for part in kernel.kernels]
        total = parts[0]
        for part in parts[1:]:
            total = total + part if isinstance(kernel, AdditiveKernel) else total * part
        return total
    columns = kernel.active_dims
    found: torch.Tensor = kernel.forward(x1[..., columns], x2[..., columns], diag=diag)
    return found


class Matern(Kernel):
    """Matérn-5/2 with a length per column."""

    has_lengthscale = True

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        diag: bool = False,  # noqa: FBT001 - GPyTorch's own signature
        **params: object,
    ) -> torch.Tensor:
        own, other = x1 / self.lengthscale, x2 / self.lengthscale
        if diag:
            squared = (own - other).square().sum(-1)
        else:
            squared = own.square().sum(-1, keepdim=True) + other.square().sum(-1).unsqueeze(-2)
            squared = squared - 2 * own @ other.transpose(-1, -2)
        # the root's slope at nothing is infinite, and what it is multiplied with is nothing
        distance = (5 * squared).clamp_min(1e-20).sqrt()
        return (1 + distance + distance.square() / 3) * torch.exp(-distance)


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

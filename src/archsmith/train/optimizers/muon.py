"""Muon: momentum, made orthogonal, for hidden matrices (Jordan et al. 2024; arXiv 2502.16982).

Keller Jordan's post (kellerjordan.github.io/posts/muon) gives Newton-Schulz iteration and its
coefficients, which push all singular values near 1. Matrices of one shape are iterated together.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from archsmith.train.optimizers.base import Optimizer, Target

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# The post takes 5. With batches of 1024 tokens the iterations cost a good part of an update, and 3,
# 4 and 5 ended within seed noise of each other after equal updates (0.5M parameters, code).
_NUM_ITERATIONS = 4


class Muon(Optimizer):
    """Nesterov momentum; the targets' rates already hold the factor of their shape."""

    def __init__(self, targets: Sequence[Target], *, momentum: float, dtype: torch.dtype) -> None:
        self._momentum, self._dtype = momentum, dtype
        groups: dict[tuple[int, ...], list[Target]] = {}
        for target in targets:
            groups.setdefault(tuple(target.master.shape), []).append(target)
        self._groups = [
            (group, torch.stack([torch.zeros_like(target.master) for target in group]))
            for group in groups.values()
        ]

    def step(self, *, number: int, factor: float) -> None:
        """Update `number` (from 0), at `factor` times the full rates."""
        for targets, average in self._groups:
            gradient = torch.stack([target.gradient for target in targets])
            average.lerp_(gradient, 1 - self._momentum)
            update = orthogonalize(gradient.lerp_(average, self._momentum), dtype=self._dtype)
            for target, direction in zip(targets, update.float(), strict=True):
                target.master.mul_(1 - target.decay * factor)
                target.master.add_(direction, alpha=-target.learning_rate * factor)

    def state(self) -> dict[str, Tensor]:
        """The momentum of every matrix."""
        return {
            f"{target.name}.momentum": average[index]
            for targets, average in self._groups
            for index, target in enumerate(targets)
        }


def orthogonalize(
    matrices: Float[Tensor, "M R C"], *, dtype: torch.dtype
) -> Float[Tensor, "M R C"]:
    """Each matrix with its singular values moved into about 0.7 to 1.2, computed in `dtype`."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = (x.mT if tall else x).to(dtype).contiguous()
    for _ in range(_NUM_ITERATIONS):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x

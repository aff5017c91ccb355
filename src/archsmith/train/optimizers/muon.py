"""Muon: momentum, made orthogonal, for hidden matrices (Jordan et al. 2024; arXiv 2502.16982).

Keller Jordan's post (kellerjordan.github.io/posts/muon) gives Newton-Schulz iteration and its
coefficients, which push all singular values near 1. Matrices of one shape are iterated together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from archsmith.train.optimizers.base import Optimizer, Target

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# The post takes 5. With batches of 1024 tokens the iterations cost a good part of an update, and 3,
# 4 and 5 ended within seed noise of each other after equal updates (0.5M parameters, code).
_NUM_ITERATIONS = 4
# Columns over rows beyond which iterating on the Gram matrix is less arithmetic (8 R^3 a time, and
# 4 R^2 C once, against 4 R^2 C + 2 R^3 a time).
_GRAM_FROM_RATIO = 1.5
# Entries of the matrices iterated together: many experts need no more memory beside their weights
# than few.
_BATCH_ELEMENTS = 2**22


class _Piece(NamedTuple):
    """Matrices of one target, all views: M R C."""

    target: Target
    master: Tensor
    gradient: Tensor
    momentum: Tensor


class Muon(Optimizer):
    """Nesterov momentum; the targets' rates already hold the factor of their shape.

    A target [X, R, C] is X matrices.
    """

    def __init__(self, targets: Sequence[Target], *, momentum: float, dtype: torch.dtype) -> None:
        self._momentum, self._dtype = momentum, dtype
        self._state = {target.name: torch.zeros_like(target.master) for target in targets}
        self._batches = _in_batches(
            [
                _Piece(target, target.master, target.gradient, state)
                for target, state in zip(targets, self._state.values(), strict=True)
            ]
        )

    def step(self, *, number: int, factor: float) -> None:
        """Update `number` (from 0), at `factor` times the full rates."""
        for batch in self._batches:
            ahead = []
            for piece in batch:
                piece.momentum.lerp_(piece.gradient, 1 - self._momentum)
                ahead.append(torch.lerp(piece.gradient, piece.momentum, self._momentum))
            update = orthogonalize(torch.cat(ahead), dtype=self._dtype).float()
            for piece, direction in zip(
                batch, update.split([len(p.master) for p in batch]), strict=True
            ):
                piece.master.mul_(1 - piece.target.decay * factor)
                piece.master.add_(direction, alpha=-piece.target.learning_rate * factor)

    def state(self) -> dict[str, Tensor]:
        """The momentum of every matrix."""
        return {f"{name}.momentum": momentum for name, momentum in self._state.items()}


def _in_batches(wholes: Sequence[_Piece]) -> list[list[_Piece]]:
    """Matrices of one shape together, as many as the bound allows, at least one."""
    batches: dict[tuple[int, ...], list[list[_Piece]]] = {}
    for whole in wholes:
        rows, columns = whole.master.shape[-2:]
        most = max(1, _BATCH_ELEMENTS // (rows * columns))
        views = [tensor.view(-1, rows, columns) for tensor in whole[1:]]
        found = batches.setdefault((rows, columns), [[]])
        start = 0
        while start < len(views[0]):
            room = most - sum(len(piece.master) for piece in found[-1])
            if room == 0:
                found.append([])
                continue
            part = slice(start, start + room)
            found[-1].append(_Piece(whole.target, *(view[part] for view in views)))
            start = part.stop
    return [batch for found in batches.values() for batch in found]


def orthogonalize(
    matrices: Float[Tensor, "M R C"], *, dtype: torch.dtype, num_iterations: int = _NUM_ITERATIONS
) -> Float[Tensor, "M R C"]:
    """Each matrix with its singular values moved into about 0.7 to 1.2, computed in `dtype`."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = (x.mT if tall else x).to(dtype).contiguous()
    rows, columns = x.shape[1:]
    # bfloat16 rounds a Gram matrix too coarsely to go on from it
    if dtype == torch.float32 and columns > _GRAM_FROM_RATIO * rows:
        x = _by_gram(x, num_iterations)
    else:
        x = _directly(x, num_iterations)
    return x.mT if tall else x


def _directly(x: Float[Tensor, "M R C"], num_iterations: int) -> Float[Tensor, "M R C"]:
    """x <- (a I + b G + c G^2) x with G = x x^T, repeated."""
    a, b, c = _COEFFICIENTS
    for _ in range(num_iterations):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def _by_gram(x: Float[Tensor, "M R C"], num_iterations: int) -> Float[Tensor, "M R C"]:
    """The same on the Gram matrix alone: G and all polynomials P of it commute, so that the next G
    is P G P, and x meets the product of all P once."""
    a, b, c = _COEFFICIENTS
    gram = torch.bmm(x, x.mT)
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    product = None
    for number in range(num_iterations):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(identity, alpha=a)
        product = polynomial if product is None else torch.bmm(polynomial, product)
        if number + 1 < num_iterations:
            gram = torch.bmm(polynomial, torch.bmm(gram, polynomial))
    return x if product is None else torch.bmm(product, x)

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
# Long side over short side beyond which iterating on the Gram matrix is less arithmetic (8 R^3 a
# time, and 4 R^2 C once, against 4 R^2 C + 2 R^3 a time).
_GRAM_FROM_RATIO = 1.5
# Rows of a symmetric product that are computed together, up from the diagonal; smaller blocks save
# more arithmetic and lose more speed.
_BLOCK = 128
# Entries of the matrices iterated together: many experts need no more memory beside their weights
# than few.
_BATCH_ELEMENTS = 2**22
_LEAST_NORM = 1e-7


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
            num_matrices = sum(len(piece.master) for piece in batch)
            ahead = batch[0].master.new_empty(num_matrices, *batch[0].master.shape[1:])
            for piece, nesterov in zip(batch, _split(ahead, batch), strict=True):
                piece.momentum.lerp_(piece.gradient, 1 - self._momentum)
                torch.lerp(piece.gradient, piece.momentum, self._momentum, out=nesterov)
            if self._dtype == torch.float32:
                self._move_by_product(batch, ahead, factor)
            else:
                self._move_by(batch, orthogonalize(ahead, dtype=self._dtype).float(), factor)

    def _move_by(self, batch: list[_Piece], update: Tensor, factor: float) -> None:
        for piece, direction in zip(batch, _split(update, batch), strict=True):
            piece.master.mul_(1 - piece.target.decay * factor)
            piece.master.add_(direction, alpha=-piece.target.learning_rate * factor)

    def _move_by_product(self, batch: list[_Piece], ahead: Tensor, factor: float) -> None:
        """The last product goes into the masters, without an update between."""
        left, right = _factors(ahead, _NUM_ITERATIONS)
        factors = zip(batch, _split(left, batch), _split(right, batch), strict=True)
        for piece, one, other in factors:
            piece.master.baddbmm_(
                one,
                other,
                beta=1 - piece.target.decay * factor,
                alpha=-piece.target.learning_rate * factor,
            )

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


def _split(matrices: Tensor, batch: list[_Piece]) -> tuple[Tensor, ...]:
    return matrices.split([len(piece.master) for piece in batch])


def orthogonalize(
    matrices: Float[Tensor, "M R C"], *, dtype: torch.dtype, num_iterations: int = _NUM_ITERATIONS
) -> Float[Tensor, "M R C"]:
    """Each matrix with its singular values moved into about 0.7 to 1.2, computed in `dtype`."""
    if dtype == torch.float32:
        return torch.bmm(*_factors(matrices.clone(), num_iterations))
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + _LEAST_NORM)
    x = (x.mT if tall else x).to(dtype).contiguous()
    a, b, c = _COEFFICIENTS
    for _ in range(num_iterations):  # as the post has it: coarse formats round other forms more
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


def _factors(
    x: Float[Tensor, "M R C"], num_iterations: int
) -> tuple[Float[Tensor, "M R S"], Float[Tensor, "M S C"]]:
    """Two matrices whose product is the orthogonal one, float32; overwrites x.

    A tall matrix is seen as its transpose, which costs a product nothing.
    """
    tall = x.shape[1] > x.shape[2]
    wide = x.mT if tall else x
    iterate = _by_gram if wide.shape[2] > _GRAM_FROM_RATIO * wide.shape[1] else _directly
    polynomial, wide = iterate(wide, num_iterations)
    return (wide.mT, polynomial.mT) if tall else (polynomial, wide)


# An iteration is x <- P x with P = a I + b G + c G^2 of the Gram matrix G = x x^T. Completed to a
# square, with H = sqrt(c) G it is P = (H + h I)^2 + (a - h^2) I, h = b / (2 sqrt(c)): one product
# and two diagonals.
_SCALE = _COEFFICIENTS[2] ** 0.5
_HALF = _COEFFICIENTS[1] / (2 * _SCALE)
_REST = _COEFFICIENTS[0] - _HALF**2


def _directly(
    x: Float[Tensor, "M R C"], num_iterations: int
) -> tuple[Float[Tensor, "M R R"], Float[Tensor, "M R C"]]:
    """The last polynomial and what it is to be multiplied with; overwrites x."""
    norm = x.norm(dim=(1, 2), keepdim=True).add_(_LEAST_NORM)
    x.mul_(_SCALE**0.5 / norm)  # so that x x^T is H
    for number in range(num_iterations):
        shifted = _symmetric_product(x, x.mT)
        _add_to_diagonal(shifted, _HALF)
        polynomial = _symmetric_product(shifted, shifted)
        _add_to_diagonal(polynomial, _REST)
        if number + 1 < num_iterations:
            x = torch.bmm(polynomial, x)
    return polynomial.mul_(_SCALE**-0.5), x


def _by_gram(
    x: Float[Tensor, "M R C"], num_iterations: int
) -> tuple[Float[Tensor, "M R R"], Float[Tensor, "M R C"]]:
    """The same on the Gram matrix alone: H and all polynomials P of it commute, so that the next H
    is P H P, and x meets the product of all P once."""
    gram = _symmetric_product(x, x.mT)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    norm = diagonal.sum(1).sqrt_().add_(_LEAST_NORM)[:, None, None]
    gram.mul_(_SCALE / norm.square())
    product = None
    for number in range(num_iterations):
        _add_to_diagonal(gram, _HALF)
        polynomial = _symmetric_product(gram, gram)
        _add_to_diagonal(polynomial, _REST)
        product = polynomial if product is None else _symmetric_product(polynomial, product)
        if number + 1 < num_iterations:
            _add_to_diagonal(gram, -_HALF)
            gram = _symmetric_product(polynomial, _symmetric_product(gram, polynomial))
    assert product is not None
    return product / norm, x


def _add_to_diagonal(matrices: Float[Tensor, "M R R"], number: float) -> None:
    matrices.diagonal(dim1=1, dim2=2).add_(number)


def _symmetric_product(
    left: Float[Tensor, "M R C"], right: Float[Tensor, "M C R"]
) -> Float[Tensor, "M R R"]:
    """left right, known to be symmetric: of large ones only the blocks above the
    diagonal are computed."""
    rows = left.shape[1]
    if rows < 2 * _BLOCK:
        return torch.bmm(left, right)
    out = left.new_empty(len(left), rows, rows)
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        above = out[:, start:stop, start:]
        torch.bmm(left[:, start:stop], right[:, :, start:], out=above)
        out[:, stop:, start:stop] = above[:, :, stop - start :].mT
    return out

"""Matrix products of groups of rows, each group with a matrix of its own.

The one place that chooses how: torch's grouped product where it has one for the device and the
sizes, otherwise a product per group. On CPUs torch's is a loop in C++ over the same products.

Letters: S rows, X groups, I and O features.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

_grouped_mm = getattr(F, "grouped_mm", None)  # torch 2.10 and later


def products_with(
    rows: Float[Tensor, "S I"], matrices: Float[Tensor, "X I O"], ends: Int[Tensor, " X"]
) -> Float[Tensor, "S O"]:
    """Each group's rows times its matrix; group g are the rows from ends[g - 1] to ends[g]."""
    if _grouped_mm is not None and _suits(rows, matrices):
        return _grouped_mm(rows, matrices, offs=ends)
    out = rows.new_empty(len(rows), matrices.shape[2])
    for matrix, group in zip(matrices, _slices(ends), strict=True):
        torch.mm(rows[group], matrix, out=out[group])
    return out


def products_within(
    left: Float[Tensor, "S I"], right: Float[Tensor, "S O"], ends: Int[Tensor, " X"]
) -> Float[Tensor, "X I O"]:
    """leftᵀ right of each group; zeros for a group without rows."""
    if _grouped_mm is not None and _suits(left, right):
        return _grouped_mm(left.T, right, offs=ends)
    out = left.new_empty(len(ends), left.shape[1], right.shape[1])
    for matrix, group in zip(out, _slices(ends), strict=True):
        torch.mm(left[group].T, right[group], out=matrix)
    return out


def _suits(left: Tensor, right: Tensor) -> bool:
    if left.dtype not in (torch.float32, torch.bfloat16):
        return False
    # it wants every row to begin at a multiple of 16 bytes
    return all(size * left.itemsize % 16 == 0 for size in (*left.shape[1:], *right.shape[1:]))


def _slices(ends: Int[Tensor, " X"]) -> list[slice]:
    stops = ends.tolist()
    return [slice(*pair) for pair in zip([0, *stops], stops, strict=False)]

"""Which points of a branch an exporter refuses, asked once per kind."""

from collections.abc import Sequence
from typing import Any

from archsmith.export.carriers import unsupported
from archsmith.space.branch import Branch


def refused_kinds(branch: Branch, targets: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """The kinds (choices of `branch.kind_dimensions`) that a target cannot hold, with the reason.

    Every kind is asked about at the first width it goes with.
    """
    refused: dict[tuple[Any, ...], str] = {}
    asked = set()
    for width in branch.widths:
        for kind in branch.kinds(width):
            if kind in asked:
                continue
            asked.add(kind)
            indices = [0] * len(branch.dimensions)
            indices[branch.slots["hidden_size"]] = width
            indices[branch.slots["intermediate_ratio"]] = branch.ratios(width)[0]
            for slot, index in zip(branch.kind_slots, kind, strict=True):
                indices[slot] = index
            reasons = unsupported(branch.build(tuple(indices)), targets)
            if reasons:
                chosen = tuple(
                    dimension.choices[index]
                    for dimension, index in zip(branch.kind_dimensions, kind, strict=True)
                )
                refused[chosen] = "; ".join(reasons)
    return refused

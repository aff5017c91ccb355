"""Which points of a branch an exporter refuses, asked once per kind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from archsmith.export.carriers import unsupported
from archsmith.space.branch import Branch


class Refusal(NamedTuple):
    """Choices that a target cannot hold together, and why."""

    choices: dict[str, Any]
    reason: str


def refused_kinds(branch: Branch, targets: Sequence[str]) -> list[Refusal]:
    """The kinds that a target cannot hold, by their choices that have to go together.

    Every kind is asked about at the first width it goes with, in one quantization and with one
    rotary base: no carrier depends on those.
    """
    refused = []
    asked = set()
    for width in branch.widths:
        for joint in branch.kinds.joints(width):
            if joint in asked:
                continue
            asked.add(joint)
            reasons = unsupported(branch.build(branch.smallest(width, joint)), targets)
            if reasons:
                refused.append(Refusal(branch.kinds.choices(joint), "; ".join(reasons)))
    return refused

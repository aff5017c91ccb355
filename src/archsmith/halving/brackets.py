"""Brackets of synchronous halving: which trial belongs to which, and how many go on from a rung.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943) repeats one bracket. Hyperband (Li
et al. 2018, arXiv 1603.06560, algorithm 1) cycles through brackets s = s_max, ..., 0 that begin
with n = ceil((s_max + 1) / (s + 1) * eta^s) candidates at rung s_max - s; floor(n / eta^i) of them
are left after i rungs. Trials belong to brackets by their numbers, so any process agrees.
"""

from collections.abc import Sequence
from typing import NamedTuple

from archsmith.errors import ConfigError


class Shape(NamedTuple):
    """A bracket's first rung, and how many candidates it has there and at each rung after."""

    rung: int
    sizes: tuple[int, ...]


class Bracket(NamedTuple):
    """A bracket of a study: trials `start` to `start + sizes[0] - 1`."""

    start: int
    rung: int
    sizes: tuple[int, ...]


def hyperband_cycle(num_rungs: int, eta: int) -> tuple[Shape, ...]:
    """The brackets of one round of Hyperband, the most aggressive first."""
    _check(num_rungs)
    shapes = []
    for s in range(num_rungs - 1, -1, -1):
        count = -(-num_rungs * eta**s // (s + 1))
        shapes.append(Shape(num_rungs - 1 - s, _sizes(count, s + 1, eta)))
    return tuple(shapes)


def successive_cycle(
    num_rungs: int, eta: int, num_candidates: int | None = None
) -> tuple[Shape, ...]:
    """One bracket over all rungs, by default of as many candidates as leave one at the last."""
    _check(num_rungs)
    count = num_candidates or eta ** (num_rungs - 1)
    return (Shape(0, _sizes(count, num_rungs, eta)),)


def bracket_of(number: int, cycle: Sequence[Shape]) -> Bracket:
    """The bracket of a trial when the cycle repeats for ever."""
    per_cycle = sum(shape.sizes[0] for shape in cycle)
    start = number // per_cycle * per_cycle
    for shape in cycle:
        if number < start + shape.sizes[0]:
            return Bracket(start, shape.rung, shape.sizes)
        start += shape.sizes[0]
    raise AssertionError(f"trial {number} lies in no bracket of {cycle}")


def _sizes(count: int, num_rungs: int, eta: int) -> tuple[int, ...]:
    """floor(count / eta^i), but never nobody: a bracket ends with its best."""
    return tuple(max(count // eta**level, 1) for level in range(num_rungs))


def _check(num_rungs: int) -> None:
    if num_rungs < 1:
        raise ConfigError("brackets: at least one rung is needed; give the study rungs")

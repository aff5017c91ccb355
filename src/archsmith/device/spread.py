"""Several readings of one figure, and which figures they can tell apart.

Repeats that overlap are a tie: no table ranks what another run of the same measurement could turn
around.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

TIE = "~"


class Spread(NamedTuple):
    """A figure with the range its repeats left it in: quartiles, or the least and the largest."""

    low: float
    middle: float
    high: float

    def overlaps(self, other: "Spread") -> bool:
        """Whether the two ranges share a value."""
        return self.low <= other.high and other.low <= self.high


def quartiles(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least one reading."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high)


def ranks(figures: Sequence[Spread | None]) -> list[int | None]:
    """Rank of each figure, 1 for the smallest; None for a missing one.

    A figure that overlaps the best of the ranks before it shares that rank; the rank after a tie
    counts everything that stands before it.
    """
    order = sorted(
        (index for index, figure in enumerate(figures) if figure is not None),
        key=lambda index: figures[index][1],  # type: ignore[index]
    )
    found: list[int | None] = [None] * len(figures)
    best: Spread | None = None
    rank = 0
    for place, index in enumerate(order, start=1):
        figure = figures[index]
        assert figure is not None
        if best is None or not figure.overlaps(best):
            best, rank = figure, place
        found[index] = rank
    return found


def tied(figures: Sequence[Spread | None]) -> list[bool]:
    """Whether each figure shares its rank with another."""
    found = ranks(figures)
    return [rank is not None and found.count(rank) > 1 for rank in found]


def show_ranks(figures: Sequence[Spread | None]) -> list[str]:
    """Ranks as tables show them: `1`, `~2` where it is shared, empty for a missing figure."""
    shared = tied(figures)
    return [
        "" if rank is None else f"{TIE if tie else ''}{rank}"
        for rank, tie in zip(ranks(figures), shared, strict=True)
    ]

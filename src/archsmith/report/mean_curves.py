"""Anytime curves of arms, averaged over search seeds: the best so far at equal CPU seconds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

Curve = Sequence[tuple[float, float]]  # (CPU seconds, held-out bits per byte), in any order
STEPS = 32
# parts of the longest run's cost that a table shows, in steps
SHARES = {"1/8": 4, "1/4": 8, "1/2": 16, "3/4": 24, "1": 32}


@dataclass(frozen=True, kw_only=True)
class MeanCurve:
    """What an arm had reached when, on one corpus, as a mean over its seeds.

    Attributes:
        num_seeds: runs that told a curve.
        cpu_seconds: a grid that all arms on the corpus share, up to the end of the longest run.
        bits_per_byte: the best so far at each, by the readings along the way; not a number where
            a seed had none yet. A run that has ended stays at its best.
    """

    corpus: str
    arm: str
    num_seeds: int
    cpu_seconds: tuple[float, ...]
    bits_per_byte: tuple[float, ...]


def mean_curves(corpus: str, curves: Mapping[str, Sequence[Curve]]) -> list[MeanCurve]:
    """The mean curve of each arm from one curve a seed; arms without any are left out."""
    told = {arm: [curve for curve in own if curve] for arm, own in curves.items()}
    ends = [seconds for own in told.values() for curve in own for seconds, _ in curve]
    if not ends:
        return []
    grid = tuple(max(ends) * step / STEPS for step in range(1, STEPS + 1))
    return [
        MeanCurve(
            corpus=corpus,
            arm=arm,
            num_seeds=len(own),
            cpu_seconds=grid,
            bits_per_byte=tuple(_mean_at(own, seconds) for seconds in grid),
        )
        for arm, own in told.items()
        if own
    ]


def averaged(curves: Sequence[Curve]) -> tuple[tuple[float, float], ...]:
    """One curve for several: the mean of their bests at each time when one of them has a reading,
    once all have begun. Empty curves do not count."""
    told = [curve for curve in curves if curve]
    times = sorted({seconds for curve in told for seconds, _ in curve})
    points = ((seconds, _mean_at(told, seconds)) for seconds in times)
    return tuple(point for point in points if not math.isnan(point[1]))


def _mean_at(curves: Sequence[Curve], seconds: float) -> float:
    """Of the best so far; not a number where one had no reading yet."""
    return fmean(
        min((bits for time, bits in curve if time <= seconds), default=math.nan) for curve in curves
    )

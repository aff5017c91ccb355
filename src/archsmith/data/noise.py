"""How far two trainings lie apart that differ in their seed alone.

The figures are in bits per byte of held-out text, for models of the sizes that are searched here.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

# One training's standard deviation over seeds, and the degrees of freedom it counts for, from the
# network of three layers of 96 in experiments/2026-11-22-live/runs.csv that `law_guided` handed
# over: 0.0305 on Python's standard library (five seeds), 0.0074 on WikiText-2 (four). A corpus may
# be like either, so the variance is the mean of both, its degrees are Satterthwaite's 4.5, rounded
# down. What the 0.0305 of the worse corpus is to this estimate, Student's t allows for.
USUAL_NOISE, USUAL_DEGREES = 0.022, 4


class PooledNoise(NamedTuple):
    """One training's standard deviation over seeds in bits per byte, and its degrees of freedom."""

    deviation: float
    degrees_of_freedom: int


def pooled_noise(groups: Iterable[Sequence[float]]) -> PooledNoise:
    """From the scores of networks that were trained with several seeds, and what is usual.

    Args:
        groups: the scores of one network each; single ones tell nothing.
    """
    squares, degrees = USUAL_NOISE**2 * USUAL_DEGREES, USUAL_DEGREES
    for scores in groups:
        if len(scores) > 1:
            squares += sum((score - fmean(scores)) ** 2 for score in scores)
            degrees += len(scores) - 1
    return PooledNoise(math.sqrt(squares / degrees), degrees)

"""Losses far above the rest: that a training diverged is told, by how much says nothing.

One such value would bend the law and the process over all others. A single one is left out, as a
trial that failed is: it says nothing of its neighbours. Where several trainings diverged something
they share may be the cause, and each counts as the worst of the rest does (winsorizing).

Small networks have large losses and are no outliers. So a value is compared with those of networks
that are no larger, which should be worse, and only where it is farther still with all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archsmith.surrogate.readings import Reading, group_numbers

# Shares of the median that a value must lie above it, and how often as far as the best lies below.
# Of random subsets, of 3 to 80, of the losses of LiteTransformerSearch, Gemstones, 97 models of a
# grid and the prior's runs none has such a value.
_BEYOND_SMALLER = (0.5, 5.0)
_BEYOND_ALL = (1.5, 10.0)
_SAME_TEXT = 2.0  # times as much text or as little: readings that are compared
_SIZE = "log_num_non_embedding_params"


class Tamed(NamedTuple):
    """Readings of which no value is far above the rest.

    Attributes:
        ceiling: the largest value that was kept; infinite where all were.
        note: what was done, in words; empty if nothing.
    """

    readings: Sequence[Reading]
    ceiling: float = np.inf
    note: str = ""


def tame(readings: Sequence[Reading]) -> Tamed:
    """Readings without values far above those of their study after about as much text.

    Where values are not all positive nothing is far: they are no losses.
    """
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    least = float(values.min(initial=np.inf))
    if not least > 0 or values.max() <= (1 + _BEYOND_SMALLER[0]) * least:
        return Tamed(readings)
    texts = np.array([max(reading.train_bytes or 1.0, 1.0) for reading in readings])
    studies = np.array([reading.source for reading in readings])
    sizes = np.array([reading.features.get(_SIZE, 0.0) for reading in readings])
    is_far, lowered = np.zeros(len(values), dtype=bool), values.copy()
    for place in range(len(values)):
        about = np.maximum(texts / texts[place], texts[place] / texts) <= _SAME_TEXT
        about &= studies == studies[place]
        end = _end(values[about], *_BEYOND_ALL)
        if np.ptp(sizes) > 0:
            end = min(end, _end(values[about & (sizes <= sizes[place])], *_BEYOND_SMALLER))
        if values[place] > end:
            is_far[place], lowered[place] = True, values[about & (values <= end)].max()
    if not is_far.any():
        return Tamed(readings)
    ceiling = float(values[~is_far].max())
    if len(set(group_numbers(readings)[is_far])) == 1:
        kept = [reading for reading, out in zip(readings, is_far, strict=True) if not out]
        told = f"{values[is_far].max():.4g} left out, far above the rest"
        return Tamed(kept, ceiling, told)
    capped = [
        reading._replace(value=float(value))
        for reading, value in zip(readings, lowered, strict=True)
    ]
    told = f"{int(is_far.sum())} values far above the rest count as the worst of it"
    return Tamed(capped, ceiling, told)


def below_ceiling(values: np.ndarray) -> np.ndarray:
    """Values after equal text, of networks whose sizes are not looked at, with those far above the
    rest lowered to the largest other. [n]"""
    if len(values) == 0 or not values.min() > 0:
        return values
    return np.minimum(values, values[values <= _end(values, *_BEYOND_ALL)].max())


def _end(values: np.ndarray, of_median: float, of_best: float) -> float:
    """Above which a value is far from these, itself among them."""
    middle, best = float(np.median(values)), float(values.min())
    return middle + max(of_median * middle, of_best * (middle - best))

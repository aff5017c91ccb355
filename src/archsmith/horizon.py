"""Predict a trunk's bits per byte at the declared training time from its readings so far.

Equal bytes of text favour slow networks, equal time at a short horizon favours shallow and wide
ones; what counts is the time the user will train. The form is a power law in training time,
`floor + gain · seconds^-exponent`, with the exponent shared by all candidates of a study: single
curves of a few readings cannot tell it (Hoffmann et al. 2022, arXiv 2203.15556, for the form).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Held-out bits per byte of a 2.2M-parameter model on Python source at 30/60/120/300 seconds of
# one core fell as 1.995/1.762/1.519/1.190: d(bpb)/d(log2 seconds) is close to constant there,
# which an exponent near zero expresses; 0.15 keeps extrapolations from running below zero.
EXPONENT = 0.15


class Reading(NamedTuple):
    """Held-out bits per byte after so many seconds of training and bytes of text."""

    seconds: float
    train_bytes: int
    bits_per_byte: float


class HorizonPrediction(NamedTuple):
    """Predicted bits per byte at `seconds`; own and shared slope lie within the half-width."""

    seconds: float
    bits_per_byte: float
    half_width: float


def predict(
    readings: Sequence[Reading],
    *,
    seconds: float,
    exponent: float = EXPONENT,
    shared_slope: float | None = None,
) -> HorizonPrediction:
    """Extrapolate one trunk to `seconds` of training.

    Args:
        readings: at least one; the later half decides, because the first steps obey no law.
        seconds: the horizon; a horizon before the last reading returns that reading.
        exponent: of time, shared by the candidates.
        shared_slope: gain per unit of `-seconds^-exponent` to use where a trunk has one reading.

    Raises:
        ValueError: there is no reading.
    """
    if not readings:
        raise ValueError("a prediction needs at least one reading")
    ordered = sorted(readings)
    last = ordered[-1]
    if seconds <= last.seconds:
        return HorizonPrediction(last.seconds, last.bits_per_byte, 0.0)
    slopes = [one for one in (slope(ordered, exponent=exponent), shared_slope) if one is not None]
    ahead = last.seconds**-exponent - seconds**-exponent
    gains = [one * ahead for one in slopes] or [0.0]
    predicted = max(last.bits_per_byte - sum(gains) / len(gains), 0.0)
    # one slope says nothing of its own error: then the whole gain is open
    spread = (max(gains) - min(gains)) / 2 if len(gains) > 1 else gains[0]
    return HorizonPrediction(seconds, predicted, spread)


def slope(readings: Sequence[Reading], *, exponent: float = EXPONENT) -> float | None:
    """Bits per byte gained per unit of `-seconds^-exponent`, over the later half of a trunk.

    None where there are fewer than two readings at different times; never negative.
    """
    ordered = sorted(readings)
    later = ordered[len(ordered) // 2 - 1 if len(ordered) > 2 else 0 :]
    times = np.array([reading.seconds for reading in later]) ** -exponent
    if len(later) < 2 or np.ptp(times) == 0.0:
        return None
    scores = np.array([reading.bits_per_byte for reading in later])
    return max(float(np.polyfit(times, scores, 1)[0]), 0.0)


def shared_slope(
    trunks: Sequence[Sequence[Reading]], *, exponent: float = EXPONENT
) -> float | None:
    """The median slope over the trunks that have one."""
    found = [value for trunk in trunks if (value := slope(trunk, exponent=exponent)) is not None]
    return float(np.median(found)) if found else None

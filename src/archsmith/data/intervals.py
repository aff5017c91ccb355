"""Intervals for bits per byte from blocks of held-out text (block bootstrap, Künsch 1989).

Blocks of some kilobytes are resampled rather than tokens, because neighbouring tokens are hard or
easy together. They tell how a score would vary over other text of the same kind, not over seeds.
"""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from archsmith.errors import ConfigError


@runtime_checkable
class Blocks(Protocol):
    """Anything with nats and bytes per block of text: a `Score`, or an arm of the comparison."""

    @property
    def block_nats(self) -> tuple[float, ...]:
        """Nats per block."""

    @property
    def block_bytes(self) -> tuple[int, ...]:
        """Bytes per block."""


class Interval(NamedTuple):
    """An estimate in bits per byte with the ends of its interval."""

    value: float
    low: float
    high: float


def score_interval(
    score: Blocks, *, seed: int = 0, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Bits per byte with its interval."""
    nats = np.asarray(score.block_nats, dtype=np.float64)
    num_bytes = np.asarray(score.block_bytes, dtype=np.float64)
    return _interval(nats, num_bytes, seed=seed, confidence=confidence, resamples=resamples)


def paired_interval(
    score_a: Blocks,
    score_b: Blocks,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Bits per byte of `score_a` minus those of `score_b` on the same text, with its interval.

    Negative: `score_a` is better. Raises ConfigError when the blocks are not the same text.
    """
    if score_a.block_bytes != score_b.block_bytes:
        raise ConfigError(
            f"scores of different text cannot be paired: {len(score_a.block_bytes)} blocks with "
            f"{sum(score_a.block_bytes):,} bytes against {len(score_b.block_bytes)} with "
            f"{sum(score_b.block_bytes):,}; score both with one protocol on one split"
        )
    difference = np.asarray(score_a.block_nats) - np.asarray(score_b.block_nats)
    num_bytes = np.asarray(score_a.block_bytes, dtype=np.float64)
    return _interval(difference, num_bytes, seed=seed, confidence=confidence, resamples=resamples)


def _interval(
    nats: np.ndarray, num_bytes: np.ndarray, *, seed: int, confidence: float, resamples: int
) -> Interval:
    from scipy.stats import bootstrap  # half a second to import

    def bits_per_byte(nats: np.ndarray, num_bytes: np.ndarray, axis: int = -1) -> Any:
        return nats.sum(axis=axis) / num_bytes.sum(axis=axis) / math.log(2)

    value = float(bits_per_byte(nats, num_bytes))
    if len(nats) < 2:
        return Interval(value, -math.inf, math.inf)  # one block tells nothing about spread
    found = bootstrap(
        (nats, num_bytes),
        bits_per_byte,
        paired=True,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(nats)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))

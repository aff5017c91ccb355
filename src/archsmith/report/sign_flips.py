"""The exact test and interval of paired differences, from the means of their subsets.

Under the null each difference is as likely to be negative as positive, so all 2^n ways to flip
their signs are equally likely (Fisher's sign-flip permutation test). Flipping the signs of a subset
lowers the sum where the subset's mean is positive: the p-value counts the means of the non-empty
subsets on one side of zero. The same means cut the line into equally likely pieces (Hartigan 1969),
which gives the interval. Both come from one set of subsets, all of them or as many as are drawn, so
that the interval excludes zero exactly where the test at that level does.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05  # one-sided for these tests
_EXACT_PAIRS = 13  # up to 2^13 subsets are enumerated; beyond, as many are drawn
_DRAWS = 1 << 14


def sign_flip(differences: Sequence[float], alternative: str) -> float:
    """The p-value of the sign-flip test on the mean; exact up to 13 pairs.

    Args:
        alternative: `less`, `greater` or `two-sided`.
    """
    means = _means_of(differences)
    pieces = len(means) + 1
    less = (1 + int((means >= 0).sum())) / pieces
    greater = (1 + int((means <= 0).sum())) / pieces
    if alternative == "two-sided":
        return min(1.0, 2 * min(less, greater))
    return less if alternative == "less" else greater


def exact_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Ends and confidence of Hartigan's interval: where the sign-flip test at 5 % a side ends.

    Infinite, with confidence 1, below five pairs. Above 13 pairs from drawn subsets.
    """
    import numpy as np

    means = np.sort(_means_of(differences))
    pieces = len(means) + 1
    outside = math.floor(LEVEL * pieces)
    if outside < 1:
        return -math.inf, math.inf, 1.0
    return float(means[outside - 1]), float(means[-outside]), 1 - 2 * outside / pieces


def upper_ends(samples: "np.ndarray") -> "np.ndarray":
    """The upper end of `exact_interval` for each row of `samples`, of shape (samples, pairs)."""
    import numpy as np

    shares = _subsets(samples.shape[1])
    outside = math.floor(LEVEL * (len(shares) + 1))
    if outside < 1:
        return np.full(len(samples), math.inf)
    rows = max(1, (1 << 21) // len(shares))  # 16 MiB of means at once
    place = len(shares) - outside
    return np.concatenate(
        [
            np.partition(samples[first : first + rows] @ shares.T, place, axis=1)[:, place]
            for first in range(0, len(samples), rows)
        ]
    )


def num_subsets(count: int) -> int:
    """How many subsets of so many pairs the test looks at."""
    return len(_subsets(count))


def _means_of(differences: Sequence[float]) -> "np.ndarray":
    """Means of the subsets; what rounding alone keeps from zero is zero."""
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    means = _subsets(len(values)) @ values
    means[np.abs(means) <= 1e-14 * np.abs(values).max()] = 0.0
    return means


@lru_cache(maxsize=8)
def _subsets(count: int) -> "np.ndarray":
    """Non-empty subsets of so many pairs, a row each: the share of each pair in the mean."""
    import numpy as np

    if count <= _EXACT_PAIRS:
        chosen = np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
    else:
        chosen = np.random.default_rng(0).integers(0, 2, (_DRAWS - 1, count))
        chosen = chosen[chosen.any(axis=1)]
    return chosen / chosen.sum(axis=1, keepdims=True)

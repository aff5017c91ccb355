"""Expected improvement on what may be the best, in truth: noisy (Letham et al. 2019, arXiv
1706.07094), in log form (Ament et al. 2023, arXiv 2310.20708), of many points at once.

The values of the best trials are drawn together from their posterior; given each draw a point's
value is normal and its improvement known in closed form. Pending trials are drawn with them, so
that what they are expected to bring is not expected of a point again.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, log_ndtr, logsumexp

_DRAWS = 32
_FAR = -1.0  # deviations below which the improvement is computed from its ratio to the density
_FARTHEST = -300.0
_LEAST = 1e-10  # of the variance of what is drawn


class Moments(NamedTuple):
    """Of m points and b others, jointly normal.

    Attributes:
        mean, variance: of the points, [m].
        cross: covariance of points and others, [m, b].
        other_mean, other_covariance: [b], [b, b].
    """

    mean: np.ndarray
    variance: np.ndarray
    cross: np.ndarray
    other_mean: np.ndarray
    other_covariance: np.ndarray


def log_improvement(moments: Moments, rng: np.random.Generator) -> np.ndarray:
    """Logarithm of how much lower than the lowest of the others a point is expected to be, [m]."""
    count = len(moments.other_mean)
    covariance = moments.other_covariance + _LEAST * np.eye(count)
    values, vectors = np.linalg.eigh(covariance)  # near duplicates make it all but singular
    roots = np.sqrt(np.maximum(values, _LEAST))
    half = rng.standard_normal((_DRAWS // 2, count))
    draws = np.concatenate([half, -half])  # [s, b]
    lowest = (moments.other_mean + (draws * roots) @ vectors.T).min(axis=1)  # [s]
    slopes = (moments.cross @ vectors) / roots  # [m, b]
    means = moments.mean + draws @ slopes.T  # [s, m]
    variance = moments.variance - np.square(slopes).sum(axis=1)
    deviation = np.sqrt(np.maximum(variance, _LEAST))
    away = (lowest[:, None] - means) / deviation
    found = logsumexp(_log_normal_improvement(away), axis=0) + np.log(deviation / _DRAWS)
    return np.asarray(found)


def _log_normal_improvement(away: np.ndarray) -> np.ndarray:
    """Logarithm of E max(z + away, 0) for a standard normal z."""
    density = -0.5 * np.square(away) - 0.5 * np.log(2 * np.pi)
    near = np.maximum(away, _FAR)
    plain = np.log(np.exp(-0.5 * near**2) / np.sqrt(2 * np.pi) + near * np.exp(log_ndtr(near)))
    below = np.minimum(away, _FAR)
    ratio = 1 + below * np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))
    # its series, where the difference to one is lost in rounding
    ratio = np.where(below < _FARTHEST, 1 / below**2 - 3 / below**4, ratio)
    return np.where(away > _FAR, plain, density + np.log(ratio))

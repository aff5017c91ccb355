"""The smallest true gain that a rule would call `beat` in four cases of five.

A rule calls a gain where its interval excludes zero and the measured mean lies beyond the margin;
both count here, so that what is said to be detectable is what `comparison.decide` would find. The
true spread is taken to be the one that was seen, differences to be normal.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from archsmith.report.sign_flips import num_subsets, upper_ends

if TYPE_CHECKING:
    import numpy as np

POWER = 0.8
_MEANS = 1 << 24  # means of subsets that a simulation may compute
_MOST_DRAWS, _FEWEST_DRAWS = 20_000, 1_000


def detectable_exactly(count: int, *, deviation: float, margin: float) -> float:
    """By the sign-flip interval over so many pairs; infinite below five, which can show nothing.

    By simulation with a fixed seed. The interval moves and scales with the differences, so standard
    normal ones tell the gain for every deviation and margin.
    """
    import numpy as np

    ends, means = _standard(count)
    if not np.isfinite(ends).all():
        return math.inf
    if deviation == 0:
        return margin
    # differences of deviation * (normal - gain): the interval's end and the mean must both pass
    needed = np.maximum(ends, means + margin / deviation)
    return float(deviation * np.quantile(needed, POWER))


def detectable_by_t(
    standard_error: float, *, degrees_of_freedom: float, level: float, margin: float
) -> float:
    """By Student's two-sided test of a mean with its standard error, at `level`."""
    if not math.isfinite(standard_error):
        return math.inf
    if standard_error == 0:
        return margin
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri
    from scipy.stats import chi2, t

    critical = float(t.ppf(1 - level / 2, degrees_of_freedom))
    if math.isinf(degrees_of_freedom):
        return max(critical * standard_error, margin) + float(ndtri(POWER)) * standard_error
    # over what the standard error may be measured as, in equally likely steps
    shares = (np.arange(1024) + 0.5) / 1024
    measured = np.sqrt(chi2.ppf(shares, degrees_of_freedom) / degrees_of_freedom)
    bars = np.maximum(critical * measured, margin / standard_error)

    def lacking(gain: float) -> float:
        return float(ndtr(gain - bars).mean()) - POWER

    return float(brentq(lacking, 0.0, float(bars.max()) + 10.0)) * standard_error


@lru_cache(maxsize=8)
def _standard(count: int) -> tuple["np.ndarray", "np.ndarray"]:
    """Upper ends of the intervals, and means, of simulated standard normal differences."""
    import numpy as np

    draws = min(max(_MEANS // num_subsets(count), _FEWEST_DRAWS), _MOST_DRAWS)
    samples = np.random.default_rng(0).standard_normal((draws, count))
    return upper_ends(samples), samples.mean(axis=1)

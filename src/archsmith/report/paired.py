"""What paired differences between two arms show: exact tests, exact intervals, what was detectable.

One difference a search seed. Under the null each is as likely to be negative as positive, so all
2^n ways to flip their signs are equally likely (Fisher's sign-flip permutation test, by scipy); the
means of the non-empty subsets of the differences cut the line into equally likely pieces (Hartigan
1969), which gives the interval that belongs to that test. With n seeds no p-value can be below
1/2^n: fewer than five seeds can show nothing at one-sided 5 %. Student's paired t stands beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05  # one-sided
POWER = 0.8
_EXACT_PAIRS = 13  # up to 2^13 flips are enumerated; beyond, as many are drawn
_DRAWS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Paired:
    """First arm minus second over paired runs, in bits per byte; negative: the first is better.

    Attributes:
        differences: one a pair.
        mean: their mean.
        low, high: ends of the exact interval, infinite where there are too few pairs for one.
        confidence: of that interval; as near to 90 % from above as so many pairs allow.
        t_low, t_high: ends of Student's 95 % interval, infinite with one pair.
        p_better, p_worse: exact one-sided p that the first arm needs fewer, or more, bits.
        p_value: exact, two-sided.
        p_not_worse: exact one-sided p that it needs at most the margin more.
        p_t, p_wilcoxon: two-sided by Student's paired t and Wilcoxon's signed ranks; 1 with one
            pair or without any difference.
        detectable: the smallest true gain that so many pairs of this spread would show in four
            cases of five; infinite where no gain could be shown.
    """

    differences: tuple[float, ...]
    mean: float
    low: float
    high: float
    confidence: float
    t_low: float
    t_high: float
    p_better: float
    p_worse: float
    p_value: float
    p_not_worse: float
    p_t: float
    p_wilcoxon: float
    detectable: float

    @property
    def least_p_value(self) -> float:
        """No one-sided exact p of so many pairs can be smaller."""
        return 0.5 ** len(self.differences)


def paired(differences: Sequence[float], *, margin: float) -> Paired:
    """All of it. `differences` must not be empty."""
    values = tuple(map(float, differences))
    low, high, confidence = exact_interval(values)
    t_low, t_high = t_interval(values)
    p_t, p_wilcoxon = _other_tests(values)
    return Paired(
        differences=values,
        mean=fmean(values),
        low=low,
        high=high,
        confidence=confidence,
        t_low=t_low,
        t_high=t_high,
        p_better=sign_flip(values, "less"),
        p_worse=sign_flip(values, "greater"),
        p_value=sign_flip(values, "two-sided"),
        p_not_worse=sign_flip([value - margin for value in values], "less"),
        p_t=p_t,
        p_wilcoxon=p_wilcoxon,
        detectable=detectable(values),
    )


def sign_flip(differences: Sequence[float], alternative: str) -> float:
    """The p-value of the sign-flip test on the mean; exact up to 13 pairs.

    Args:
        alternative: `less`, `greater` or `two-sided`.
    """
    import numpy as np
    from scipy.stats import permutation_test

    if len(differences) == 1:  # scipy wants two; there are two flips
        value = differences[0]
        sure = value == 0 or alternative == "two-sided" or (value < 0) != (alternative == "less")
        return 1.0 if sure else 0.5
    found = permutation_test(
        (np.asarray(differences, dtype=np.float64),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative=alternative,
        n_resamples=_DRAWS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def exact_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Ends and confidence of Hartigan's interval: where the sign-flip test at 5 % a side ends.

    Infinite, with confidence 1, below five pairs. Above 13 pairs from drawn subsets.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if count <= _EXACT_PAIRS:
        codes = np.arange(1, 2**count)
        chosen = codes[:, None] >> np.arange(count) & 1
    else:
        chosen = np.random.default_rng(0).integers(0, 2, (_DRAWS - 1, count))
        chosen = chosen[chosen.any(axis=1)]
    means = np.sort(chosen @ values / chosen.sum(axis=1))
    pieces = len(means) + 1
    outside = math.floor(LEVEL * pieces)
    if outside < 1:
        return -math.inf, math.inf, 1.0
    return float(means[outside - 1]), float(means[-outside]), 1 - 2 * outside / pieces


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean; infinite for a single value."""
    if len(values) < 2:
        return -math.inf, math.inf
    from scipy.stats import t

    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    half *= stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def detectable(differences: Sequence[float]) -> float:
    """The true mean gain that would be shown with power 0.8, from the spread seen.

    By the noncentral t at the level that so many flips can reach at most.
    """
    count = len(differences)
    level = math.floor(LEVEL * 2**count) / 2**count if count < 50 else LEVEL
    if level == 0:
        return math.inf
    error = stdev(differences) / math.sqrt(count)
    if error == 0:
        return 0.0
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = float(t.ppf(1 - level, count - 1))

    def lacking(shift: float) -> float:
        return float(nct.sf(critical, count - 1, shift)) - POWER

    return float(brentq(lacking, 0.0, critical + 20.0)) * error


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in the given order."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _other_tests(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2 or not any(values):
        return 1.0, 1.0
    from scipy.stats import ttest_1samp, wilcoxon

    if stdev(values) == 0:
        return 0.0, float(wilcoxon(values).pvalue)
    return float(ttest_1samp(values, 0.0).pvalue), float(wilcoxon(values).pvalue)

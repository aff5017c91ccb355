"""What paired differences between two arms show: exact tests, exact intervals, what was detectable.

One difference a search seed; the test and its interval are those of `sign_flips`. With n seeds no
p-value can be below 1/2^n: fewer than five seeds can show nothing at one-sided 5 %. Student's
paired t stands beside it, and Holm's correction for comparisons that are many.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from archsmith.report.detectable import detectable_exactly
from archsmith.report.sign_flips import LEVEL, exact_interval, sign_flip


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
        detectable: the smallest true gain that so many pairs of this spread would call `beat` in
            four cases of five, by the exact interval and the margin; infinite where none could be.
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
        detectable=detectable_exactly(
            len(values), deviation=stdev(values) if len(values) > 1 else 0.0, margin=margin
        ),
    )


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean; infinite for a single value."""
    if len(values) < 2:
        return -math.inf, math.inf
    from scipy.stats import t

    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    half *= stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in the given order; at most LEVEL is shown."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """At most what each p-value must be for Holm's to show it, the others being as they are."""
    levels = []
    for index in range(len(p_values)):
        others = sorted([*p_values[:index], *p_values[index + 1 :]])
        shown = 0
        for p_value in others:
            if p_value * (len(p_values) - shown) > LEVEL:
                break
            shown += 1
        levels.append(LEVEL / (len(p_values) - shown))
    return levels


def _other_tests(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2 or not any(values):
        return 1.0, 1.0
    from scipy.stats import ttest_1samp, wilcoxon

    if stdev(values) == 0:
        return 0.0, float(wilcoxon(values).pvalue)
    return float(ttest_1samp(values, 0.0).pvalue), float(wilcoxon(values).pvalue)

"""What is said to be detectable, tried on the rules that decide."""

import math
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import nct, t, ttest_1samp

from archsmith.report.comparison import Outcome, decide
from archsmith.report.detectable import detectable_by_t, detectable_exactly
from archsmith.report.paired import holm, holm_levels, paired, t_interval
from archsmith.report.sign_flips import LEVEL, exact_interval

MARGIN = 0.005


def of_deviation(count: int, deviation: float) -> list[float]:
    """Differences with exactly this standard deviation."""
    values = np.random.default_rng(1).standard_normal(count)
    return (values * deviation / values.std(ddof=1)).tolist()


def beaten_exactly(gain: float, *, count: int, deviation: float, repeats: int = 1000) -> float:
    """How often the exact rule calls `beat` where this is the true gain."""
    rng = np.random.default_rng(count)
    found = 0
    for values in rng.normal(-gain, deviation, (repeats, count)).tolist():
        low, high, _ = exact_interval(values)
        found += decide(fmean(values), low, high, margin=MARGIN) is Outcome.BEAT
    return found / repeats


@pytest.mark.parametrize("count", [5, 6, 7])
@pytest.mark.parametrize("deviation", [0.0004, 0.01, 0.1])
def test_what_seeds_can_detect_is_called_beat_in_four_cases_of_five(
    count: int, deviation: float
) -> None:
    gain = paired(of_deviation(count, deviation), margin=MARGIN).detectable
    assert beaten_exactly(gain, count=count, deviation=deviation) == pytest.approx(0.8, abs=0.04)


def test_a_gain_within_the_margin_is_never_detectable() -> None:
    steady = paired([-0.004, -0.0041, -0.0039, -0.004, -0.004, -0.004], margin=MARGIN)
    assert steady.high < 0
    assert MARGIN < steady.detectable < 1.02 * MARGIN
    assert paired([-0.1] * 5, margin=MARGIN).detectable == MARGIN


def test_too_few_seeds_can_detect_nothing() -> None:
    for count in (2, 3, 4):
        assert paired(of_deviation(count, 0.01), margin=MARGIN).detectable == math.inf
    assert paired([-1.0], margin=MARGIN).detectable == math.inf


def test_drawn_subsets_detect_as_much_as_the_t_test_about() -> None:
    found = detectable_exactly(16, deviation=0.04, margin=0.0)
    # one-sided 5 % is two-sided 10 %
    by_t = detectable_by_t(0.01, degrees_of_freedom=15, level=2 * LEVEL, margin=0.0)
    assert found == pytest.approx(by_t, rel=0.06)


@pytest.mark.parametrize("degrees", [1, 4, 30])
def test_without_a_margin_it_is_the_noncentral_t(degrees: int) -> None:
    gain = detectable_by_t(0.01, degrees_of_freedom=degrees, level=0.05, margin=0.0)
    power = nct.sf(t.ppf(0.975, degrees), degrees, gain / 0.01)
    assert power == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("deviation", [0.0004, 0.02])
def test_exploratory_comparisons_detect_by_their_own_rule(deviation: float) -> None:
    """Student's t, two-sided, corrected by Holm beside others that stay as they are."""
    count, others, repeats = 6, [0.001, 0.3, 0.6], 600
    (level, *_) = holm_levels([0.02, *others])
    gain = detectable_by_t(
        deviation / math.sqrt(count), degrees_of_freedom=count - 1, level=level, margin=MARGIN
    )
    drawn = np.random.default_rng(0).normal(-gain, deviation, (repeats, count))
    seen = 0
    for values, p_value in zip(drawn.tolist(), ttest_1samp(drawn, 0.0, axis=1).pvalue, strict=True):
        low, high = t_interval(values)
        is_beat = decide(fmean(values), low, high, margin=MARGIN) is Outcome.BEAT
        seen += is_beat and holm([p_value, *others])[0] <= LEVEL
    assert seen / repeats == pytest.approx(0.8, abs=0.04)


def test_known_spread_needs_no_t() -> None:
    found = detectable_by_t(0.01, degrees_of_freedom=math.inf, level=0.05, margin=MARGIN)
    assert found == pytest.approx((1.9600 + 0.8416) * 0.01, rel=1e-4)
    margin_rules = detectable_by_t(0.001, degrees_of_freedom=math.inf, level=0.05, margin=MARGIN)
    assert margin_rules == pytest.approx(MARGIN + 0.8416 * 0.001, rel=1e-4)
    assert detectable_by_t(math.inf, degrees_of_freedom=3, level=0.05, margin=MARGIN) == math.inf
    assert detectable_by_t(0.0, degrees_of_freedom=3, level=0.05, margin=MARGIN) == MARGIN

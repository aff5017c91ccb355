"""Exact tests and intervals of paired differences, against enumeration and simulated truth."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.report.paired import (
    detectable,
    exact_interval,
    holm,
    paired,
    sign_flip,
    t_interval,
)


def enumerated(values: list[float]) -> float:
    """One-sided p by writing all flips down."""
    seen = sum(values)
    flips = [
        sum(sign * value for sign, value in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(flip <= seen + 1e-12 for flip in flips) / len(flips)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7))
@settings(max_examples=40, deadline=None)
def test_sign_flips_are_enumerated(values: list[int]) -> None:
    numbers = [value / 128 for value in values]  # exact, so that sums tie where they should
    assert sign_flip(numbers, "less") == pytest.approx(enumerated(numbers))
    assert sign_flip(numbers, "greater") == pytest.approx(enumerated([-x for x in numbers]))


@given(st.lists(st.integers(-99, 99).filter(bool), min_size=5, max_size=8, unique_by=abs))
@settings(max_examples=40, deadline=None)
def test_the_interval_ends_where_the_test_does(values: list[int]) -> None:
    """The interval excludes zero exactly where a one-sided p is at most 5 %."""
    numbers = [value / 100 + 1e-7 * 2**index for index, value in enumerate(values)]
    low, high, confidence = exact_interval(numbers)
    assert 0.9 <= confidence < 1
    assert (high < 0) == (sign_flip(numbers, "less") <= 0.05)
    assert (low > 0) == (sign_flip(numbers, "greater") <= 0.05)


def test_five_pairs_give_the_range_and_four_give_nothing() -> None:
    five = [-0.03, -0.01, -0.02, -0.04, -0.015]
    assert exact_interval(five) == (-0.04, -0.01, 1 - 2 / 32)
    assert sign_flip(five, "less") == 1 / 32
    assert exact_interval(five[:4]) == (-math.inf, math.inf, 1.0)
    assert detectable(five[:4]) == math.inf


def test_the_exact_interval_covers_as_often_as_it_says() -> None:
    rng = random.Random(3)
    truth, repeats = -0.01, 600
    covered = 0
    for _ in range(repeats):
        low, high, confidence = exact_interval([rng.gauss(truth, 0.02) for _ in range(6)])
        covered += low <= truth <= high
    assert confidence == pytest.approx(1 - 6 / 64)
    assert covered / repeats == pytest.approx(confidence, abs=0.04)


def test_many_pairs_are_drawn_and_agree_with_the_t_interval() -> None:
    rng = random.Random(0)
    values = [rng.gauss(-0.01, 0.02) for _ in range(20)]
    low, high, confidence = exact_interval(values)
    other = t_interval(values, confidence=confidence)
    assert (low, high) == pytest.approx(other, abs=0.002)
    assert sign_flip(values, "less") < 0.1


def test_the_detectable_gain_is_found_in_four_cases_of_five() -> None:
    rng = random.Random(1)
    spread, count = 0.01, 7
    # the gain that is found depends on the spread seen; here the spread itself is known
    gain = 0.0
    for _ in range(100):
        gain += detectable([rng.gauss(0, spread) for _ in range(count)]) / 100
    found = sum(
        sign_flip([rng.gauss(-gain, spread) for _ in range(count)], "less") <= 0.05
        for _ in range(300)
    )
    assert 0.72 <= found / 300 <= 0.9


def test_equal_runs_show_nothing() -> None:
    found = paired([0.0] * 5, margin=0.005)
    assert (found.p_better, found.p_worse, found.p_value, found.p_t) == (1, 1, 1, 1)
    assert (found.low, found.high, found.detectable) == (0, 0, 0)
    assert found.p_not_worse == found.least_p_value == 1 / 32


def test_one_pair_is_no_evidence() -> None:
    found = paired([-0.3], margin=0.005)
    assert (found.p_better, found.p_worse, found.p_value, found.p_not_worse) == (0.5, 1, 1, 0.5)
    assert math.isinf(found.t_high)
    assert math.isinf(found.detectable)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []

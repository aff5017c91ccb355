"""The exact test and its interval, against enumeration and simulated truth."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.report.paired import t_interval
from archsmith.report.sign_flips import LEVEL, exact_interval, sign_flip, upper_ends


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


def test_interval_and_p_never_contradict_each_other_where_subsets_are_drawn() -> None:
    near = 0
    for seed in range(400):
        rng = random.Random(seed)
        # a mean at which a test of twenty just does or does not decide
        values = [rng.gauss(-0.0039, 0.01) for _ in range(20)]
        low, high, _ = exact_interval(values)
        p_less, p_greater = sign_flip(values, "less"), sign_flip(values, "greater")
        near += 0.045 < p_less < 0.055
        assert (high < 0) == (p_less <= LEVEL)
        assert (low > 0) == (p_greater <= LEVEL)
    assert near >= 10


def test_differences_that_cancel_to_rounding_are_ties() -> None:
    values = [0.1, 0.2, -0.3]
    assert sum(values) != 0  # 5e-17 in floating point
    # 0 is the mean of all three: flipping them all ties, as does flipping none
    assert sign_flip(values, "less") == sign_flip([-value for value in values], "less") == 5 / 8


@pytest.mark.parametrize("count", [4, 5, 7, 15])
def test_ends_of_many_samples_are_those_of_each(count: int) -> None:
    samples = np.random.default_rng(0).standard_normal((20, count))
    each = [exact_interval(row.tolist())[1] for row in samples]
    assert upper_ends(samples).tolist() == pytest.approx(each)

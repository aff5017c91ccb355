"""What paired differences show beside the exact test, and Holm's correction."""

import math
import random

import pytest

from archsmith.report.paired import holm, holm_levels, paired
from archsmith.report.sign_flips import LEVEL


def test_equal_runs_show_nothing() -> None:
    found = paired([0.0] * 5, margin=0.005)
    assert (found.p_better, found.p_worse, found.p_value, found.p_t) == (1, 1, 1, 1)
    assert (found.low, found.high, found.detectable) == (0, 0, 0.005)
    assert found.p_not_worse == found.least_p_value == 1 / 32


def test_one_pair_is_no_evidence() -> None:
    found = paired([-0.3], margin=0.005)
    assert (found.p_better, found.p_worse, found.p_value, found.p_not_worse) == (0.5, 1, 1, 0.5)
    assert math.isinf(found.t_high)
    assert math.isinf(found.detectable)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_the_level_of_each_comparison_is_the_one_that_holm_has_for_it() -> None:
    rng = random.Random(2)
    for _ in range(100):
        p_values = [rng.choice([0.001, 0.012, 0.02, 0.3]) * rng.random() for _ in range(4)]
        for index, level in enumerate(holm_levels(p_values)):
            for p_value, shown in ((0.999 * level, True), (1.001 * level, False)):
                changed = [*p_values[:index], p_value, *p_values[index + 1 :]]
                assert (holm(changed)[index] <= LEVEL) == shown
    assert holm_levels([0.5]) == [LEVEL]
    assert holm_levels([]) == []

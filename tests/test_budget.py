"""Time is divided whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.budget import divide
from archsmith.errors import ConfigError


@given(st.floats(min_value=60, max_value=1e6), st.booleans())
def test_the_phases_add_up_to_the_timeout(total, calibrate):
    budget = divide(total, calibrate=calibrate)
    assert sum(seconds for _, seconds in budget.lines()) == pytest.approx(total)
    assert all(seconds >= 0 for _, seconds in budget.lines())


def test_the_search_takes_at_most_a_quarter():
    assert divide(600).search_seconds <= 150


def test_short_jobs_are_not_calibrated_and_shorter_ones_refused():
    assert divide(600).calibration_seconds == 0
    assert divide(8 * 3600).calibration_seconds > 600
    with pytest.raises(ConfigError, match="too short"):
        divide(10)
    with pytest.raises(ConfigError, match="search_share"):
        divide(600, search_share=1.5)

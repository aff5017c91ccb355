"""Time is divided whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.budget import arrange, divide
from archsmith.errors import ConfigError

cores = st.integers(min_value=1, max_value=64)


@given(st.floats(min_value=60, max_value=1e6), st.booleans(), st.integers(0, 3), cores, cores)
def test_the_phases_add_up_to_the_timeout(total, calibrate, num_baselines, num_cores, n_jobs):
    budget = divide(
        total,
        calibrate=calibrate,
        num_baselines=num_baselines,
        num_cores=num_cores,
        n_jobs=n_jobs,
        lone_threads=num_cores,
    )
    assert sum(seconds for _, seconds in budget.lines()) == pytest.approx(total)
    assert all(seconds > 0 for _, seconds in budget.lines())
    named = {phase for phase, _ in budget.lines()}
    assert ("calibrate the learning rate" in named) is (budget.calibration_seconds > 0)
    assert ("baselines" in named) is (num_baselines > 0)


@settings(max_examples=50)
@given(st.integers(1, 3), cores, cores, cores, st.sampled_from([600.0, 36_000.0]))
def test_baselines_have_time_for_all_that_the_other_phases_may_spend(
    num_baselines, num_cores, n_jobs, lone_threads, total
):
    budget = divide(
        total,
        num_baselines=num_baselines,
        num_cores=num_cores,
        n_jobs=n_jobs,
        lone_threads=lone_threads,
    )
    place = arrange(num_baselines, num_cores=num_cores, lone_threads=lone_threads)
    spent = (
        budget.calibration_seconds * num_cores
        + budget.search_seconds * min(n_jobs, num_cores)
        + budget.training_seconds * min(lone_threads, num_cores)
    )
    assert budget.baselines_seconds == pytest.approx(spent / place.threads * place.rounds)
    assert place.at_once * place.threads <= num_cores
    assert place.at_once * place.rounds >= num_baselines


def test_one_baseline_leaves_half_of_the_time_where_all_cores_train_one_model():
    """On one core for equal core-seconds it would leave a ninth."""
    alone = divide(600.0, n_jobs=8, num_cores=8, lone_threads=8)
    beside = divide(600.0, n_jobs=8, num_cores=8, lone_threads=8, num_baselines=1)
    assert beside.training_seconds == pytest.approx(alone.training_seconds / 2)


def test_two_baselines_on_two_cores_are_trained_side_by_side():
    assert arrange(2, num_cores=2, lone_threads=2) == (2, 1, 1)
    assert arrange(3, num_cores=2, lone_threads=2) == (2, 1, 2)
    assert arrange(1, num_cores=8, lone_threads=4) == (1, 4, 1)
    assert arrange(0, num_cores=8, lone_threads=4).rounds == 0


def test_the_search_takes_at_most_a_quarter():
    assert divide(600).search_seconds <= 150


def test_short_jobs_are_not_calibrated_and_shorter_ones_refused():
    assert divide(600).calibration_seconds == 0
    assert divide(8 * 3600).calibration_seconds > 600
    with pytest.raises(ConfigError, match="too short"):
        divide(10)
    with pytest.raises(ConfigError, match="search_share"):
        divide(600, search_share=1.5)

"""Limits, observations and the problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.trial import Limit, Observation, Problem, TrialState


@pytest.mark.parametrize(
    ("text", "metric", "comparison", "value"),
    [
        ("file_bytes <= 16MiB", "file_bytes", "<=", 16 * 2**20),
        ("file_bytes<=2MB", "file_bytes", "<=", 2_000_000),
        ("context_length >= 4096", "context_length", ">=", 4096),
        ("decode_ms_per_token <= 1.5", "decode_ms_per_token", "<=", 1.5),
        ("decode_ms_per_token <= 1.5ms", "decode_ms_per_token", "<=", 1.5),
        ("num_params <= 2M", "num_params", "<=", 2_000_000),
    ],
)
def test_limits_are_read_with_units(text, metric, comparison, value):
    limit = Limit.parse(text)
    assert (limit.metric, limit.comparison) == (metric, comparison)
    assert limit.value == pytest.approx(value)
    assert validate(Limit, text, source="x") == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_bytes 16MiB", "write METRIC <= VALUE"),
        ("file_byte <= 16MiB", "did you mean 'file_bytes'"),
        ("file_bytes <= many", "cannot read 'many'"),
    ],
)
def test_wrong_limits_are_explained(text, message):
    with pytest.raises(ConfigError, match=message):
        Limit.parse(text)


@given(st.floats(min_value=0, max_value=1e12))
def test_excess_is_zero_exactly_where_the_limit_holds(value):
    limit = Limit.parse("file_bytes <= 1MiB")
    assert (limit.excess(value) == 0.0) == limit.holds(value)


def test_values_are_known_only_when_all_are():
    seen = Observation(
        number=0, architecture="a", state=TrialState.COMPLETE, metrics={"bits_per_byte": 1.5}
    )
    assert seen.values(["bits_per_byte"]) == (1.5,)
    assert seen.values(["bits_per_byte", "file_bytes"]) is None


def test_a_problem_decides_the_limits_its_cost_models_cover():
    problem = Problem(
        space=None,
        objectives=["bits_per_byte"],
        limits=[Limit.parse("file_bytes <= 10"), Limit.parse("decode_ms_per_token <= 1")],
        static_metrics=lambda point: {"file_bytes": float(point)},
    )
    assert problem.feasible(10)
    assert not problem.feasible(11)
    assert problem.broken_limits(15) == [(problem.limits[0], 15.0)]
    assert problem.excess(15) == pytest.approx(0.5)


def test_the_generator_depends_on_seed_and_trial_number_alone():
    def draw(seed, number):
        problem = Problem(space=None, objectives=["x"], static_metrics=lambda p: {}, seed=seed)
        return problem.rng(number).random()

    assert draw(0, 3) == draw(0, 3)
    assert len({draw(0, 3), draw(0, 4), draw(1, 3)}) == 3

"""Extrapolating a trunk to the user's training time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.horizon import Reading, predict, shared_slope, slope

TRUNKS = st.lists(
    st.tuples(st.floats(0.1, 1e4), st.floats(0.05, 9.0)),
    min_size=1,
    max_size=8,
    unique_by=lambda pair: round(pair[0], 3),
).map(lambda pairs: [Reading(seconds, round(1e5 * seconds), bits) for seconds, bits in pairs])
SLOPES = st.one_of(st.none(), st.floats(0.0, 20.0))


@given(TRUNKS, SLOPES, st.floats(0.1, 1e6), st.floats(1.0, 100.0))
@settings(max_examples=60, deadline=None)
def test_more_time_never_predicts_worse(
    trunk: list[Reading], shared: float | None, seconds: float, factor: float
) -> None:
    sooner = predict(trunk, seconds=seconds, shared_slope=shared)
    later = predict(trunk, seconds=seconds * factor, shared_slope=shared)
    assert later.bits_per_byte <= sooner.bits_per_byte + 1e-9
    assert later.half_width >= sooner.half_width - 1e-9


@given(TRUNKS, SLOPES, st.floats(0.1, 1e9))
@settings(max_examples=60, deadline=None)
def test_a_prediction_lies_between_zero_and_the_last_reading(
    trunk: list[Reading], shared: float | None, seconds: float
) -> None:
    found = predict(trunk, seconds=seconds, shared_slope=shared)
    assert 0.0 <= found.bits_per_byte <= max(trunk).bits_per_byte + 1e-12


@given(TRUNKS, SLOPES, st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_a_horizon_already_reached_is_read_off(
    trunk: list[Reading], shared: float | None, share: float
) -> None:
    last = max(trunk)
    found = predict(trunk, seconds=share * last.seconds, shared_slope=shared)
    assert found == (last.seconds, last.bits_per_byte, 0.0)


@given(TRUNKS)
@settings(max_examples=40, deadline=None)
def test_the_order_of_readings_does_not_matter(trunk: list[Reading]) -> None:
    assert predict(trunk[::-1], seconds=1e5) == predict(trunk, seconds=1e5)


def test_a_power_law_is_continued_exactly() -> None:
    def law(seconds: float) -> float:
        return 0.8 + 2.0 * seconds**-0.15

    trunk = [Reading(seconds, 0, law(seconds)) for seconds in (10.0, 30.0, 100.0)]
    assert predict(trunk, seconds=1000.0).bits_per_byte == pytest.approx(law(1000.0))


def test_one_reading_borrows_the_slope_of_the_others() -> None:
    trunks = [[Reading(s, 0, level + s**-0.15) for s in (10.0, 100.0)] for level in (1.0, 1.5)]
    single = [Reading(10.0, 0, 2.0)]
    shared = shared_slope([*trunks, single])
    assert shared == pytest.approx(1.0)
    assert slope(single) is None
    assert predict(single, seconds=100.0).bits_per_byte == 2.0
    ahead = predict(single, seconds=100.0, shared_slope=shared).bits_per_byte
    assert ahead == pytest.approx(2.0 - (10**-0.15 - 100**-0.15))


def test_a_trunk_that_gets_worse_is_not_extrapolated_upwards() -> None:
    trunk = [Reading(10.0, 0, 1.0), Reading(20.0, 0, 1.5)]
    assert slope(trunk) == 0.0
    assert predict(trunk, seconds=1e6).bits_per_byte == 1.5


def test_without_a_reading_there_is_no_prediction() -> None:
    with pytest.raises(ValueError, match="at least one reading"):
        predict([], seconds=1.0)
    assert shared_slope([[], [Reading(1.0, 0, 1.0)]]) is None

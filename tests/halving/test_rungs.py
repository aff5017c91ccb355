import pytest
from halving_helpers import RUNGS

from archsmith.errors import ConfigError
from archsmith.halving.rungs import plan_rungs


def test_rungs_are_bytes_of_the_plan() -> None:
    assert [(r.index, r.fraction, r.train_bytes) for r in RUNGS] == [
        (0, 0.03, 300),
        (1, 0.1, 1000),
        (2, 0.3, 3000),
    ]


def test_rungs_shorter_than_the_warm_up_are_dropped() -> None:
    rungs = plan_rungs((0.03, 0.1, 0.3), 10_000, 500)
    assert [(r.index, r.fraction) for r in rungs] == [(0, 0.1), (1, 0.3)]


def test_a_plan_too_short_for_rungs_is_one_rung() -> None:
    (rung,) = plan_rungs((0.03, 0.1, 0.3), 1000, 700)
    assert rung.train_bytes == 700
    (rung,) = plan_rungs((0.03, 0.1, 0.3), 1000, 5000)
    assert rung.train_bytes == 1000


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (0.5, 1.2)])
def test_fractions_outside_the_plan_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"above 0 and at most 1"):
        plan_rungs(fractions, 1000, 1)

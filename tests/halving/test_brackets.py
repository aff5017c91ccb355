"""Brackets as their papers have them."""

from dataclasses import replace

import pytest
from halving_helpers import at, promoted
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import ConfigError
from archsmith.halving.brackets import bracket_of, hyperband_cycle, successive_cycle
from archsmith.halving.rungs import plan_rungs
from archsmith.halving.settings import Halving


def test_hyperband_has_its_table_for_81_and_3() -> None:
    """Algorithm 1 of arXiv 1603.06560 with R = 81, eta = 3: (n_i, r_i) of s = 4 to 0."""
    rungs = plan_rungs([3**power / 81 for power in range(5)], plan_bytes=81, min_bytes=1)
    table = [
        [(size, rungs[shape.rung + level].train_bytes) for level, size in enumerate(shape.sizes)]
        for shape in hyperband_cycle(len(rungs), 3)
    ]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_each_bracket_of_hyperband_costs_about_the_same() -> None:
    for shape in hyperband_cycle(5, 3):
        cost = sum(size * 3 ** (shape.rung + level) for level, size in enumerate(shape.sizes))
        assert cost == pytest.approx(5 * 81, rel=0.25)


def test_successive_halving_leaves_one() -> None:
    assert successive_cycle(4, 3)[0].sizes == (27, 9, 3, 1)
    assert successive_cycle(3, 2, 10)[0].sizes == (10, 5, 2)
    assert successive_cycle(3, 4, 3)[0].sizes == (3, 1, 1)


@given(st.integers(0, 500), st.integers(1, 5), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_every_trial_is_in_one_bracket(number: int, num_rungs: int, eta: int) -> None:
    cycle = hyperband_cycle(num_rungs, eta)
    own = bracket_of(number, cycle)
    assert own.start <= number < own.start + own.sizes[0]
    assert bracket_of(own.start, cycle) == bracket_of(own.start + own.sizes[0] - 1, cycle) == own
    assert own.rung + len(own.sizes) == num_rungs
    assert bracket_of(own.start + own.sizes[0], cycle) != own


def test_brackets_need_rungs() -> None:
    with pytest.raises(ConfigError, match="at least one rung"):
        hyperband_cycle(0, 3)


def test_a_bracket_sends_on_who_still_has_a_checkpoint() -> None:
    halving = Halving(rule="successive", num_candidates=6)
    entries = at(0, [float(n) for n in range(6)])
    assert promoted(entries, halving=halving) == [(0, 1), (1, 1)]
    entries[1] = replace(entries[1], resumable=False)
    assert promoted(entries, halving=halving) == [(0, 1), (2, 1)]

"""Anytime curves of several runs as one."""

import math

from archsmith.report.mean_curves import SHARES, STEPS, averaged, mean_curves


def test_runs_that_ended_stay_at_their_best_and_arms_share_a_grid() -> None:
    short, long = [(2.0, 2.0), (4.0, 1.5)], [(8.0, 1.0), (4.0, 3.0)]
    one, other = mean_curves("c", {"a": [short, long], "b": [long, ()], "c": [()]})
    assert one.cpu_seconds == other.cpu_seconds
    assert (len(one.cpu_seconds), one.cpu_seconds[-1]) == (STEPS, 8.0)
    assert (one.num_seeds, other.num_seeds) == (2, 1)
    halves = [one.bits_per_byte[SHARES[share] - 1] for share in ("1/4", "1/2", "3/4", "1")]
    assert math.isnan(halves[0])  # one of two had no reading yet
    assert halves[1:] == [2.25, 2.25, 1.25]
    assert mean_curves("c", {"a": [()], "b": []}) == []


def test_several_curves_become_one() -> None:
    assert averaged([[(1.0, 2.0), (3.0, 1.0)], [(2.0, 4.0)], []]) == ((2.0, 3.0), (3.0, 2.5))
    assert averaged([[], []]) == ()

"""What repeats can tell apart is ranked; what they cannot shares a rank."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.device.spread import Spread, quartiles, ranks, show_ranks


def test_overlapping_figures_share_a_rank() -> None:
    figures = [Spread(3.0, 3.1, 3.3), Spread(1.0, 1.1, 1.2), None, Spread(1.15, 1.3, 1.5)]
    assert ranks(figures) == [3, 1, None, 1]
    assert show_ranks(figures) == ["3", "~1", "", "~1"]


def test_a_chain_of_overlaps_is_cut_at_the_best_of_each_rank() -> None:
    chain = [Spread(1.0, 1.2, 1.4), Spread(1.3, 1.5, 1.7), Spread(1.6, 1.8, 2.0)]
    assert ranks(chain) == [1, 1, 3]
    assert show_ranks(chain) == ["~1", "~1", "3"]


def test_a_single_reading_is_exact() -> None:
    assert quartiles([2.0]) == (2.0, 2.0, 2.0)
    assert quartiles([1.0, 2.0, 3.0]) == (1.5, 2.0, 2.5)


readings = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(readings=st.lists(readings, min_size=1, max_size=6))
def test_a_rank_holds_what_overlaps_its_best_and_follows_the_medians(
    readings: list[list[float]],
) -> None:
    figures = [quartiles(one) for one in readings]
    found = ranks(figures)
    assert min(rank or math.inf for rank in found) == 1
    for figure, rank in zip(figures, found, strict=True):
        own = [one for one, other in zip(figures, found, strict=True) if other == rank]
        best = min(own, key=lambda one: one.middle)
        assert figure.overlaps(best)
        for other, above in zip(figures, found, strict=True):
            assert above is not None
            assert rank is not None
            if rank < above:
                assert figure.middle <= other.middle

from halving_helpers import QUIET, RUNGS, at, promoted, trunks
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.halving.decision import decide
from archsmith.halving.ranking import rank
from archsmith.halving.settings import Halving


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_rank_is_a_permutation_and_front_first(points: list[tuple[int, int]]) -> None:
    order = rank(points)
    assert sorted(order) == list(range(len(points)))
    best = points[order[0]]
    assert not any(p[0] <= best[0] and p[1] <= best[1] and p != best for p in points)


def test_a_horizon_halves_by_predicted_loss() -> None:
    """Trial 2 is behind at equal text, but took a tenth of the time and still falls."""
    entries = trunks(
        {
            0: [(10.0, 2.60), (33.0, 2.20)],
            1: [(10.0, 2.70), (33.0, 2.30)],
            2: [(1.0, 2.65), (3.3, 2.25)],
        }
    )
    assert promoted(entries) == [(0, 2)]
    ahead = Halving(audit_share=0.0, horizon_seconds=600.0)
    assert promoted(entries, halving=ahead) == [(2, 2)]
    short = Halving(audit_share=0.0, horizon_seconds=1.0)  # already passed: the score itself
    assert promoted(entries, halving=short) == [(0, 2)]


def test_nothing_is_foreseen_from_the_first_rung_or_without_seconds() -> None:
    ahead = Halving(audit_share=0.0, horizon_seconds=600.0)
    first = trunks({n: [(1.0 + n, score)] for n, score in enumerate([1.0, 1.01, 1.3, 1.02])})
    options = {"rungs": RUNGS, "seed": 0}
    assert decide(first, halving=ahead, **options) == decide(first, halving=QUIET, **options)  # type: ignore[arg-type]
    untimed = at(1, [5.0, 3.0, 4.0])
    assert promoted(untimed, halving=ahead) == promoted(untimed)


def test_readings_after_the_rung_are_not_used() -> None:
    ahead = Halving(audit_share=0.0, horizon_seconds=600.0)
    curves = {
        0: [(1.0, 2.6), (3.0, 2.2)],
        1: [(1.0, 2.7), (3.0, 2.25)],
        2: [(1.0, 2.8), (3.0, 2.4)],
    }
    later = {**curves, 2: [*curves[2], (9.0, 0.5)]}
    assert [n for n, rung in promoted(trunks(curves), halving=ahead)] == [
        n for n, rung in promoted(trunks(later), halving=ahead)
    ]

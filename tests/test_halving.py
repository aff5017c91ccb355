import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import ConfigError
from archsmith.halving import Entry, Halving, audit, decide, is_audited, plan_rungs, rank

RUNGS = plan_rungs((0.03, 0.1, 0.3), 10_000, 1)
QUIET = Halving(audit_share=0.0)


def at(rung: int, scores: list[float], started: dict[int, int] | None = None) -> list[Entry]:
    return [
        Entry(number=n, scores={rung: (score,)}, started_rung=(started or {}).get(n, rung))
        for n, score in enumerate(scores)
    ]


def promoted(entries: list[Entry], **options: object) -> list[tuple[int, int]]:
    options = {"halving": QUIET, "rungs": RUNGS, "seed": 0, **options}
    found = decide(entries, **options).promotions  # type: ignore[arg-type]
    return [(promotion.number, promotion.rung) for promotion in found]


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


def test_true_halving_promotes_one_in_eta() -> None:
    assert promoted(at(1, [5.0, 3.0, 4.0, 1.0, 2.0, 6.0])) == [(3, 2), (4, 2)]


def test_nobody_is_promoted_twice() -> None:
    assert promoted(at(1, [5.0, 3.0, 4.0, 1.0, 2.0, 6.0], started={3: 2})) == [(4, 2)]


def test_true_halving_waits_for_eta_results() -> None:
    assert promoted(at(1, [1.0, 2.0])) == []


def test_closing_sends_on_the_best_of_few() -> None:
    assert promoted(at(1, [2.0, 1.0]), closing=True) == [(1, 2)]


def test_the_first_rung_eliminates_only_clear_losers() -> None:
    decision = decide(
        at(0, [1.00, 1.03, 1.04, 1.30, 1.02, 1.01]), rungs=RUNGS, halving=QUIET, seed=0
    )
    assert {p.number for p in decision.promotions} == {0, 1, 2, 4, 5}
    assert [(e.number, e.rung) for e in decision.eliminations] == [(3, 0)]


def test_the_last_rung_promotes_nobody() -> None:
    assert promoted(at(2, [1.0, 2.0, 3.0, 4.0]), closing=True) == []


def test_failed_trials_count_but_stay() -> None:
    entries = at(1, [1.0, 2.0, 3.0])
    entries[0] = Entry(number=0, scores={1: (1.0,)}, started_rung=1, alive=False)
    assert promoted(entries) == []


def test_higher_rungs_come_first() -> None:
    entries = [*at(0, [1.0, 1.0, 1.0])]
    entries += [
        Entry(number=n, scores={0: (1.0,), 1: (float(n),)}, started_rung=1) for n in (7, 8, 9)
    ]
    assert [rung for _, rung in promoted(entries)] == [2, 1, 1, 1]


def test_several_objectives_keep_the_front() -> None:
    scores = [(1.0, 9.0), (9.0, 1.0), (5.0, 5.0), (6.0, 6.0), (9.5, 9.5), (8.0, 8.0)]
    entries = [Entry(number=n, scores={1: s}, started_rung=1) for n, s in enumerate(scores)]
    found = decide(entries, rungs=RUNGS, halving=QUIET, seed=0, uncertain=(True, False))
    assert {p.number for p in found.promotions} <= {0, 1, 2}
    assert len(found.promotions) == 2


def test_a_known_objective_gets_no_margin() -> None:
    scores = [(1.0, 1.0), (1.0, 1.01), (1.0, 1.02), (1.04, 1.03)]
    entries = [Entry(number=n, scores={0: s}, started_rung=0) for n, s in enumerate(scores)]
    uncertain = decide(entries, rungs=RUNGS, halving=QUIET, seed=0, uncertain=(True, True))
    known = decide(entries, rungs=RUNGS, halving=QUIET, seed=0, uncertain=(False, False))
    assert not uncertain.eliminations
    assert {e.number for e in known.eliminations} == {2, 3}


def test_audited_trials_run_on_and_are_counted() -> None:
    halving = Halving(audit_share=1.0)
    decision = decide(at(1, [1.0, 2.0, 3.0]), rungs=RUNGS, halving=halving, seed=0)
    assert [(p.number, p.audit) for p in decision.promotions] == [(0, False), (1, True), (2, True)]
    assert not decision.eliminations
    entries = [
        Entry(number=0, scores={1: (1.0,), 2: (0.9,)}, started_rung=2),
        Entry(number=1, scores={1: (2.0,), 2: (0.5,)}, started_rung=2, audited_from=1),
        Entry(number=2, scores={1: (3.0,), 2: (2.5,)}, started_rung=2, audited_from=1),
    ]
    found = audit(entries, rungs=RUNGS, halving=halving)
    assert found.audited == (1, 2)
    assert found.false_eliminations == (1,)


def test_an_audit_runs_to_the_top_beside_the_quota() -> None:
    four = plan_rungs((0.1, 0.3, 0.6, 1.0), 1000, 1)
    entries = [
        Entry(number=n, scores={1: (float(n),)}, started_rung=1, audited_from=0 if n == 9 else None)
        for n in (1, 2, 3, 9)
    ]
    found = decide(entries, rungs=four, halving=QUIET, seed=0).promotions
    assert [(p.number, p.rung, p.audit) for p in found] == [(1, 2, False), (9, 2, True)]


def test_about_a_tenth_is_audited() -> None:
    share = sum(is_audited(n, seed=3, share=0.1) for n in range(2000)) / 2000
    assert 0.07 < share < 0.13


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=25), st.integers(2, 4), st.randoms())
def test_decisions_do_not_depend_on_order(scores: list[int], eta: int, rng: object) -> None:
    entries = at(1, [float(score) for score in scores])
    shuffled = list(entries)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    options = {"rungs": RUNGS, "halving": Halving(eta=eta), "seed": 1}
    assert decide(entries, **options) == decide(shuffled, **options)  # type: ignore[arg-type]
    kept = [p for p in decide(entries, **options).promotions if not p.audit]  # type: ignore[arg-type]
    assert len(kept) == len(scores) // eta


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_rank_is_a_permutation_and_front_first(points: list[tuple[int, int]]) -> None:
    order = rank(points)
    assert sorted(order) == list(range(len(points)))
    best = points[order[0]]
    assert not any(p[0] <= best[0] and p[1] <= best[1] and p != best for p in points)


def test_what_breaks_a_limit_takes_nobodys_place() -> None:
    entries = at(1, [5.0, 3.0, 4.0, 1.0, 2.0, 6.0])
    for number in (3, 4):
        entries[number] = Entry(
            number=number, scores={1: (1.0,)}, started_rung=1, alive=False, feasible=False
        )
    assert promoted(entries) == [(1, 2), (2, 2)]


def test_what_breaks_a_limit_beats_nobody_at_the_first_rung() -> None:
    entries = at(0, [2.0, 2.1, 1.0, 1.0, 1.0, 2.05])
    for number in (2, 3, 4):
        entries[number] = Entry(
            number=number, scores={0: (1.0,)}, started_rung=0, alive=False, feasible=False
        )
    decision = decide(entries, rungs=RUNGS, halving=QUIET, seed=0)
    assert {p.number for p in decision.promotions} == {0, 1, 5}


def trunks(readings: dict[int, list[tuple[float, float]]]) -> list[Entry]:
    """Trials with (seconds, bits per byte) at each rung from the first on."""
    return [
        Entry(
            number=number,
            scores={rung: (score,) for rung, (_, score) in enumerate(points)},
            seconds={rung: seconds for rung, (seconds, _) in enumerate(points)},
            started_rung=len(points) - 1,
        )
        for number, points in readings.items()
    ]


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


def test_the_audit_goes_by_the_same_prediction() -> None:
    rungs = plan_rungs((0.1, 0.3, 1.0), 10_000, 1)
    curves = {
        0: [(10.0, 2.6), (33.0, 2.2)], 1: [(1.0, 2.65), (3.3, 2.25)], 2: [(10.0, 2.9), (33.0, 2.8)],
    }  # fmt: skip
    entries = [
        Entry(
            number=e.number, scores=e.scores, seconds=e.seconds, started_rung=1,
            audited_from=0 if e.number == 1 else None,
        )
        for e in trunks(curves)
    ]  # fmt: skip
    plain = audit(entries, rungs=rungs, halving=Halving())
    ahead = audit(entries, rungs=rungs, halving=Halving(horizon_seconds=600.0))
    assert (plain.false_eliminations, ahead.false_eliminations) == ((), (1,))


def test_with_several_objectives_no_more_than_the_quota_go_on() -> None:
    """Two of six have gone on; the front has changed since, and its new best must wait."""
    scores = [(1.0, 9.0), (9.0, 1.0), (0.5, 9.5), (9.5, 0.5), (5.0, 5.0), (9.9, 9.9)]

    def entries(gone: set[int]) -> list[Entry]:
        return [
            Entry(number=n, scores={1: pair}, started_rung=2 if n in gone else 1)
            for n, pair in enumerate(scores)
        ]

    assert len(promoted(entries(set()))) == 2
    assert len(promoted(entries({4}))) == 1
    assert promoted(entries({0, 4})) == []

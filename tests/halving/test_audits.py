from collections import Counter
from dataclasses import replace
from typing import Any

from halving_helpers import QUIET, RUNGS, at, promoted, trunks

from archsmith.halving.audits import audit
from archsmith.halving.decision import decide
from archsmith.halving.entries import Entry
from archsmith.halving.rungs import plan_rungs
from archsmith.halving.settings import Halving


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
        Entry(
            number=n,
            scores={0: (float(n),), 1: (float(n),)},
            started_rung=1,
            audited_from=0 if n == 9 else None,
        )
        for n in (1, 2, 3, 9)
    ]
    entries += [Entry(number=n, scores={0: (float(n),)}, started_rung=0) for n in (5, 6, 7, 8)]
    found = decide(entries, rungs=four, halving=QUIET, seed=0).promotions
    assert [(p.number, p.rung, p.audit) for p in found] == [(1, 2, False), (9, 2, True)]


def test_the_audit_goes_by_the_same_prediction() -> None:
    rungs = plan_rungs((0.1, 0.3, 1.0), 10_000, 1)
    curves = {
        0: [(10.0, 2.6), (33.0, 2.2)], 1: [(1.0, 3.0), (3.3, 2.25)], 2: [(10.0, 2.9), (33.0, 2.8)],
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


def test_without_anybody_to_compare_with_an_audit_tells_nothing() -> None:
    alone = Entry(number=7, scores={1: (1.0,), 2: (0.9,)}, started_rung=2, audited_from=1)
    found = audit([alone], rungs=RUNGS, halving=Halving())
    assert (found.audited, found.false_eliminations) == ((), ())


def test_with_several_objectives_the_last_rung_keeps_its_front() -> None:
    points = {0: (1.0, 900.0), 1: (2.0, 100.0), 2: (1.2, 500.0), 3: (2.5, 400.0)}
    entries = [
        Entry(
            number=n,
            scores={1: (1.0 + (n > 1), 1.0 + (n > 1)), 2: point},
            started_rung=2,
            audited_from=1 if n > 1 else None,
        )
        for n, point in points.items()
    ]
    found = audit(entries, rungs=RUNGS, halving=Halving())
    assert (found.audited, found.false_eliminations) == ((2, 3), (2,))


def test_with_several_objectives_audits_take_nobodys_place() -> None:
    def promotions(num_audited: int) -> int:
        """Of six that lie on a front, two may go on; so many lost here before, and ran on."""
        entries = [Entry(number=n, scores={1: (n, -n)}, started_rung=1) for n in range(6)]
        entries += [
            Entry(number=9 + n, scores={1: (9.0 + n, 9.0 + n)}, started_rung=2, audited_from=1)
            for n in range(num_audited)
        ]
        return len(decide(entries, rungs=RUNGS, halving=QUIET, seed=0).promotions)

    assert promotions(0) == promotions(1) == promotions(2) == 2


def reached_after_all(**changes: object) -> list[Entry]:
    """Trial 1 lost among three and ran on; of nine it is the second, and a third of them goes on.
    At the next rung it is the best of those that were sent there."""
    entries = at(0, [float(n) for n in range(9)], started={0: 1, 1: 1, 2: 1})
    second: dict[str, Any] = {
        "scores": {0: (1.0,), 1: (0.4,)}, "started_rung": 1, "audited_from": 0, **changes,
    }  # fmt: skip
    entries[0] = Entry(number=0, scores={0: (0.0,), 1: (0.5,)}, started_rung=1)
    entries[1] = Entry(number=1, **second)
    entries[2] = Entry(number=2, scores={0: (2.0,), 1: (0.6,)}, started_rung=1)
    return entries


HALVING_AT_ONCE = plan_rungs((0.1, 0.3, 1.0), 1000, 1)


def test_whom_the_quota_reaches_after_all_is_promoted_and_no_audit() -> None:
    settings = {"rungs": HALVING_AT_ONCE, "halving": QUIET, "seed": 0}
    found = decide(reached_after_all(), **settings)  # type: ignore[arg-type]
    plain = decide(reached_after_all(audited_from=None), **settings)  # type: ignore[arg-type]
    assert found == plain
    assert [(p.number, p.rung, p.audit) for p in found.promotions] == [(1, 2, False)]
    assert audit(reached_after_all(), rungs=HALVING_AT_ONCE, halving=Halving()).audited == ()


def test_with_more_before_it_the_same_trial_is_an_audit_again() -> None:
    entries = [*reached_after_all(), *(
        Entry(number=n, scores={0: (-1.0 * n,)}, started_rung=0) for n in (20, 21, 22)
    )]  # fmt: skip
    found = decide(entries, rungs=HALVING_AT_ONCE, halving=QUIET, seed=0).promotions
    assert (1, 2, True) in [(p.number, p.rung, p.audit) for p in found]
    assert audit(entries, rungs=HALVING_AT_ONCE, halving=Halving()).audited == (1,)


def test_whom_the_quota_reached_may_lose_the_next_contest() -> None:
    entries = reached_after_all(scores={0: (1.0,), 1: (0.9,)})
    found = audit(
        [replace(e, scores={**e.scores, 2: (0.1 + e.number,)}) if e.number < 2 else e
         for e in entries],
        rungs=HALVING_AT_ONCE, halving=Halving(),
    )  # fmt: skip
    assert (found.audited, found.false_eliminations) == ((1,), ())


def test_with_several_objectives_an_audit_among_the_best_takes_a_place() -> None:
    def entries(**second: Any) -> list[Entry]:
        points = [(n, -n) for n in range(4)] + [(9.0 + n, 9.0) for n in range(2)]
        found = [
            Entry(number=n, scores={1: point}, started_rung=1) for n, point in enumerate(points)
        ]
        found[0] = replace(found[0], started_rung=2, **second)
        return found

    assert len(promoted(entries(audited_from=1))) == len(promoted(entries())) == 1


def test_an_audit_is_judged_where_its_run_ended() -> None:
    rungs = plan_rungs((0.03, 0.1, 0.3), 10_000, 1)
    entries = [
        Entry(
            number=n, started_rung=2 if n < 3 else 1,
            scores={0: (1.0 + n / 100,), 1: (1.0 + n / 100,)} | ({2: (0.9,)} if n < 3 else {}),
        )
        for n in range(9)
    ]  # fmt: skip
    late = {0: (9.0,), 1: (5.0,), 2: (0.1,)}
    early = {0: (9.0,), 1: (0.1,), 2: (5.0,)}
    for scores, wrong in ((late, (9,)), (early, ())):
        audited = Entry(number=9, scores=scores, started_rung=2, audited_from=0)
        found = audit([*entries, audited], rungs=rungs, halving=Halving())
        assert (found.audited, found.false_eliminations) == ((9,), wrong)
    # where nobody else reached its last rung, the one below counts
    audited = Entry(number=9, scores=late, started_rung=2, audited_from=0)
    alone = [replace(e, scores={0: e.scores[0], 1: e.scores[1]}) for e in entries]
    assert audit([*alone, audited], rungs=rungs, halving=Halving()).false_eliminations == ()


def audits_begun(
    count: int, *, share: float = 0.1, seed: int = 0, closing: bool = False
) -> list[int]:
    """Of so many trials at the second rung, a third of which goes on."""
    decision = decide(
        at(1, [float(n) for n in range(count)]),
        rungs=RUNGS, halving=Halving(audit_share=share), seed=seed, closing=closing,
    )  # fmt: skip
    return [promotion.number for promotion in decision.promotions if promotion.audit]


def test_the_share_of_the_eliminated_runs_on() -> None:
    assert [len(audits_begun(n)) for n in (3, 6, 9, 24, 30, 300)] == [0, 0, 1, 2, 2, 20]


def test_a_short_search_audits_at_least_one_at_its_end() -> None:
    assert len(audits_begun(3, closing=True)) == 1
    assert audits_begun(1, closing=True) == []
    assert audits_begun(3, closing=True, share=0.0) == []


def test_who_is_audited_is_drawn_whatever_it_scored() -> None:
    drawn = Counter(audits_begun(9, seed=seed)[0] for seed in range(600))
    assert set(drawn) == set(range(3, 9))
    assert all(70 < count < 135 for count in drawn.values())


def test_an_audit_that_was_begun_counts_for_the_share() -> None:
    entries = at(1, [float(n) for n in range(9)], started={0: 2, 1: 2, 2: 2})
    entries[5] = replace(entries[5], started_rung=2, audited_from=1)
    decision = decide(entries, rungs=RUNGS, halving=Halving(), seed=0, closing=True)
    assert not decision.promotions
    assert [e.number for e in decision.eliminations] == [3, 4, 6, 7, 8]

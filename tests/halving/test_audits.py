from halving_helpers import QUIET, RUNGS, at, trunks

from archsmith.halving.audits import audit, is_audited
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
        Entry(number=n, scores={1: (float(n),)}, started_rung=1, audited_from=0 if n == 9 else None)
        for n in (1, 2, 3, 9)
    ]
    found = decide(entries, rungs=four, halving=QUIET, seed=0).promotions
    assert [(p.number, p.rung, p.audit) for p in found] == [(1, 2, False), (9, 2, True)]


def test_about_a_tenth_is_audited() -> None:
    share = sum(is_audited(n, seed=3, share=0.1) for n in range(2000)) / 2000
    assert 0.07 < share < 0.13


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


def test_without_anybody_to_compare_with_an_audit_tells_nothing() -> None:
    alone = Entry(number=7, scores={1: (1.0,), 2: (0.9,)}, started_rung=2, audited_from=1)
    found = audit([alone], rungs=RUNGS, halving=Halving())
    assert (found.audited, found.false_eliminations) == ((), ())


def test_with_several_objectives_the_last_rung_keeps_its_front() -> None:
    points = {0: (1.0, 900.0), 1: (2.0, 100.0), 2: (1.2, 500.0), 3: (2.5, 400.0)}
    entries = [
        Entry(number=n, scores={2: point}, started_rung=2, audited_from=1 if n > 1 else None)
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

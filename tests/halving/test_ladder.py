from dataclasses import replace

from halving_helpers import QUIET, RUNGS, at, promoted
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.halving.decision import decide
from archsmith.halving.entries import Entry
from archsmith.halving.settings import Halving


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


def without_checkpoint(entries: list[Entry], *numbers: int) -> list[Entry]:
    return [replace(e, resumable=False) if e.number in numbers else e for e in entries]


def test_the_place_of_a_trial_without_its_checkpoint_passes_to_the_next() -> None:
    entries = at(1, [float(n) for n in range(6)], started={0: 2})
    assert promoted(without_checkpoint(entries, 1)) == [(2, 2)]
    # what went on before it lost its own keeps its place
    assert promoted(without_checkpoint(entries, 0)) == [(1, 2)]
    decision = decide(
        without_checkpoint(entries, 1, 4), rungs=RUNGS, halving=Halving(audit_share=1.0), seed=0
    )
    assert [(p.number, p.audit) for p in decision.promotions] == [(2, False), (3, True), (5, True)]
    assert [e.number for e in decision.eliminations] == [1, 4]


def test_at_the_first_rung_and_with_several_objectives_too() -> None:
    near = at(0, [1.00, 1.03, 1.04, 1.30, 1.02, 1.01])
    assert {number for number, _ in promoted(without_checkpoint(near, 5))} == {0, 1, 2, 4}
    front = [Entry(number=n, scores={1: (n, -n)}, started_rung=1) for n in range(6)]
    first, second = (number for number, _ in promoted(front))
    others = [number for number, _ in promoted(without_checkpoint(front, first))]
    assert first not in others
    assert len(others) == 2
    assert second in others

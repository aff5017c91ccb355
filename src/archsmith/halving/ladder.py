"""The ladder: every rung sends on one in eta as results arrive (arXiv 1810.05934).

The first rungs, below a tenth of the plan, eliminate only what clearly loses; true halving starts
at a tenth. A share of the eliminated runs on as an audit. The rule `asynchronous` is the same
without margin, audit and rounding up at the end.
"""

from collections.abc import Sequence

from archsmith.halving.audits import place_in_draw
from archsmith.halving.contest import Standings, hold
from archsmith.halving.entries import Decision, Elimination, Entry, Promotion
from archsmith.halving.settings import Halving
from archsmith.trial import Rung


def decide_ladder(
    entries: Sequence[Entry],
    *,
    rungs: Sequence[Rung],
    halving: Halving,
    seed: int,
    uncertain: Sequence[bool],
    closing: bool,
) -> Decision:
    """Who goes on from each rung; the arguments are those of `decision.decide`."""
    standings = hold(entries, rungs=rungs, halving=halving, uncertain=uncertain, closing=closing)
    running_on = set(standings.audits)
    if halving.rule != "asynchronous":
        running_on |= _drawn(standings, halving=halving, seed=seed, closing=closing)
    promotions: list[Promotion] = []
    eliminations: list[Elimination] = []
    for contest in reversed(standings.contests):
        audits = [*contest.beside, *(e for e in contest.lost if e.number in running_on)]
        promotions += [
            Promotion(entry.number, contest.rung + 1, audit)
            for group, audit in ((contest.kept, False), (audits, True))
            for entry in group
            if entry.waits_at(contest.rung) and entry.resumable
        ]
        eliminations += [
            Elimination(entry.number, contest.rung)
            for entry in contest.lost
            if entry.waits_at(contest.rung) and entry.number not in running_on
        ]
    return Decision(tuple(promotions), tuple(eliminations))


def _drawn(standings: Standings, *, halving: Halving, seed: int, closing: bool) -> set[int]:
    """The eliminated that become audits now: as many as bring the audits to their share, rounded,
    and where no new trials will come at least one."""
    waiting = [
        entry
        for contest in standings.contests
        for entry in contest.lost
        if entry.waits_at(contest.rung) and entry.number not in standings.audits
    ]
    begun = len(standings.audits)
    due = int(halving.audit_share * (begun + len(waiting)) + 0.5)
    if closing and halving.audit_share > 0:
        due = max(due, 1)
    able = [entry.number for entry in waiting if entry.resumable]
    able.sort(key=lambda number: place_in_draw(number, seed=seed))
    return set(able[: max(due - begun, 0)])

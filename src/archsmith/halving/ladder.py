"""The ladder: every rung sends on one in eta as results arrive (arXiv 1810.05934).

The first rungs, below a tenth of the plan, eliminate only what clearly loses; true halving starts
at a tenth. A share of the eliminated runs on as an audit. The rule `asynchronous` is the same
without margin, audit and rounding up at the end.
"""

from collections.abc import Sequence

import numpy as np

from archsmith.halving.audits import is_audited
from archsmith.halving.entries import Decision, Elimination, Entry, Promotion
from archsmith.halving.ranking import standing
from archsmith.halving.rungs import halves_truly
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
    pure = halving.rule == "asynchronous"
    rounded_up = closing and not pure
    promotions: list[Promotion] = []
    eliminations: list[Elimination] = []
    for rung in reversed(rungs[:-1]):
        here = [entry for entry in entries if rung.index in entry.scores]
        audits = [e for e in here if e.audited_from is not None and e.audited_from < rung.index]
        contest = [e for e in here if e.audited_from is None or e.audited_from >= rung.index]
        ranked = standing(contest, rungs=rungs, rung=rung.index, halving=halving)
        if halves_truly(rung) or pure:
            quota = halving.quota(len(ranked), rounded_up=rounded_up)
            kept = _within_quota(ranked, quota, rung.index)
        else:
            kept = _without_clear_losers(ranked, rung.index, halving, uncertain)
        settled = rounded_up or len(ranked) >= halving.eta
        keep = {entry.number for entry in kept}
        lost = [entry for entry in ranked if entry.number not in keep] if settled else []
        if not pure:
            share = halving.audit_share
            audits += [e for e in lost if is_audited(e.number, seed=seed, share=share)]
        running_on = {entry.number for entry in audits}
        promotions += [
            Promotion(entry.number, rung.index + 1, audit)
            for group, audit in ((kept, False), (audits, True))
            for entry in group
            if entry.alive and entry.started_rung <= rung.index
        ]
        eliminations += [
            Elimination(entry.number, rung.index)
            for entry in lost
            if entry.alive and entry.started_rung <= rung.index and entry.number not in running_on
        ]
    return Decision(tuple(promotions), tuple(eliminations))


def _within_quota(ranked: Sequence[Entry], quota: int, rung: int) -> list[Entry]:
    """The best `quota`. With several objectives no more go on than that, those gone included: every
    arrival shuffles fronts and crowding, and whoever is on top for a moment would be sent on. Who
    was eliminated here and runs on as an audit takes nobody's place."""
    best = list(ranked[:quota])
    if not best or len(best[0].scores[rung]) == 1:
        return best
    gone = [e for e in ranked if e.started_rung > rung and e.audited_from is None]
    next_ones = [entry for entry in best if entry.started_rung <= rung]
    return [*gone, *next_ones[: max(quota - len(gone), 0)]]


def _without_clear_losers(
    ranked: Sequence[Entry], rung: int, halving: Halving, uncertain: Sequence[bool]
) -> list[Entry]:
    """All but those that would lose even with the margin in their favour.

    Beaten by as many as halving would keep, although their uncertain scores are improved. What
    breaks a limit beats nobody and loses.
    """
    quota = halving.quota(len(ranked), rounded_up=True)
    if len(ranked) < halving.eta:
        return list(ranked)
    ranked = [entry for entry in ranked if entry.feasible]
    if not ranked:
        return []
    values = np.array([entry.scores[rung] for entry in ranked], dtype=np.float64)
    slack = np.asarray(uncertain, dtype=np.float64) * halving.margin
    hopeful = values - slack * np.abs(values)
    better = np.all(values[None] <= hopeful[:, None], axis=2)
    better &= np.any(values[None] < hopeful[:, None], axis=2)
    return [
        entry for entry, beaten in zip(ranked, better.sum(axis=1), strict=True) if beaten < quota
    ]

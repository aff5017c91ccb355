"""Synchronous halving in brackets: a rung is decided when the last of its candidates is back.

Brackets and their sizes are those of `brackets.py` (arXiv 1502.07943, 1603.06560).
"""

from collections.abc import Sequence

from archsmith.halving.brackets import Bracket
from archsmith.halving.entries import Decision, Elimination, Entry, Promotion
from archsmith.halving.ranking import standing
from archsmith.halving.settings import Halving
from archsmith.trial import Rung


def decide_brackets(
    entries: Sequence[Entry], *, rungs: Sequence[Rung], halving: Halving, closing: bool
) -> Decision:
    """Who goes on in each bracket; the arguments are those of `decision.decide`.

    A candidate that failed or was rejected is back, and lost. Where no new trials will come, a
    bracket that is not full goes on with those it has, one in eta of them but at least one.
    """
    promotions: list[Promotion] = []
    eliminations: list[Elimination] = []
    by_bracket: dict[Bracket, list[Entry]] = {}
    for entry in entries:
        by_bracket.setdefault(halving.bracket(entry.number, len(rungs)), []).append(entry)
    for bracket, members in sorted(by_bracket.items()):
        full = len(members) == bracket.sizes[0]
        for level, rung in enumerate(rungs[bracket.rung : -1]):
            here = [one for one in members if level == 0 or one.started_rung >= rung.index]
            back = [one for one in here if rung.index in one.scores]
            waiting = [one for one in here if one.alive and rung.index not in one.scores]
            if waiting or not (full or closing):
                break
            keep = bracket.sizes[level + 1] if full else max(len(here) // halving.eta, 1)
            ranked = standing(back, rungs=rungs, rung=rung.index, halving=halving)
            kept = [e.number for e in ranked if not e.has_no_way_on(rung.index)][:keep]
            still = [e.number for e in ranked if e.waits_at(rung.index)]
            going = [number for number in still if number in kept]
            promotions += [Promotion(number, rung.index + 1) for number in going]
            eliminations += [Elimination(n, rung.index) for n in still if n not in kept]
            if going:
                break  # the next rung waits for all of them
    promotions.sort(key=lambda promotion: -promotion.rung)
    return Decision(tuple(promotions), tuple(eliminations))

"""The contests of a ladder as things stand: who is kept at a rung, who is not, who is an audit.

An audit begins when its trial loses, and on a ladder nobody loses for good: with more results a
rung's quota may reach the trial after all. While it does, the audit is void: the trial counts as
promoted and stands in the contests above. Waiting for losers that are final instead would leave a
search that ends by its time without any audit. Nothing of this is noted anywhere: where a trial
stands follows from the results alone, so that a search continued comes to the same as one that
was never killed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archsmith.halving.entries import Entry
from archsmith.halving.ranking import standing
from archsmith.halving.rungs import halves_truly
from archsmith.halving.settings import Halving
from archsmith.trial import Rung


class Contest(NamedTuple):
    """One rung: the `kept` and, where it is settled who is not, the `lost`, both best first; and
    `beside` it the audits that lost below."""

    rung: int
    kept: tuple[Entry, ...]
    lost: tuple[Entry, ...]
    beside: tuple[Entry, ...]


class Standings(NamedTuple):
    """The contests from the first rung to the last but one, and the rung each audit lost at."""

    contests: tuple[Contest, ...]
    audits: Mapping[int, int]


def hold(
    entries: Sequence[Entry],
    *,
    rungs: Sequence[Rung],
    halving: Halving,
    uncertain: Sequence[bool],
    closing: bool,
) -> Standings:
    """The contests of a ladder; the arguments are those of `decision.decide`."""
    pure = halving.rule == "asynchronous"
    rounded_up = closing and not pure
    contests: list[Contest] = []
    audits: dict[int, int] = {}
    for rung in rungs[:-1]:
        here = [entry for entry in entries if rung.index in entry.scores]
        beside = [entry for entry in here if entry.number in audits]
        contest = [entry for entry in here if entry.number not in audits]
        ranked = standing(contest, rungs=rungs, rung=rung.index, halving=halving)
        if halves_truly(rung) or pure:
            quota = halving.quota(len(ranked), rounded_up=rounded_up)
            able = [entry for entry in ranked if not entry.has_no_way_on(rung.index)]
            kept = _within_quota(able, quota, rung.index)
        else:
            near = _without_clear_losers(ranked, rung.index, halving, uncertain)
            kept = [entry for entry in near if not entry.has_no_way_on(rung.index)]
        keep = {entry.number for entry in kept}
        out = [entry for entry in ranked if entry.number not in keep]
        settled = rounded_up or len(ranked) >= halving.eta
        for entry in out:
            if entry.is_marked(rung.index) and (settled or entry.started_rung > rung.index):
                audits[entry.number] = rung.index
        contests.append(
            Contest(rung.index, tuple(kept), tuple(out if settled else ()), tuple(beside))
        )
    return Standings(tuple(contests), audits)


def _within_quota(ranked: Sequence[Entry], quota: int, rung: int) -> list[Entry]:
    """The best `quota`. With several objectives no more go on than that, those gone included: every
    arrival shuffles fronts and crowding, and whoever is on top for a moment would be sent on. An
    audit has not gone on: it takes a place only where it is among the best."""
    best = list(ranked[:quota])
    if not best or len(best[0].scores[rung]) == 1:
        return best
    gone = [e for e in ranked if e.started_rung > rung and not e.is_marked(rung)]
    going = {entry.number for entry in gone}
    next_ones = [entry for entry in best if entry.number not in going]
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

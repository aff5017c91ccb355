"""The audit: a share of the eliminated runs on, so that a search can say how often it was wrong."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from archsmith.halving.contest import hold
from archsmith.halving.entries import Entry
from archsmith.halving.ranking import first_front, standing
from archsmith.halving.settings import Halving
from archsmith.trial import Rung


class Audit(NamedTuple):
    """Of `audited` eliminated trials that ran on, those that proved to belong to the kept."""

    audited: tuple[int, ...]
    false_eliminations: tuple[int, ...]


def audit(entries: Sequence[Entry], *, rungs: Sequence[Rung], halving: Halving) -> Audit:
    """How the audited trials fared, by the highest rung they finished: falsely eliminated is who
    ranks among the kept there.

    Among the kept of the last rung are the best alone, or with several objectives all that nobody
    dominates. A rung that nobody else finished gives nothing to compare with. Who stands within
    the quota of the rung it lost at, even as the search's end rounds it, was not eliminated and
    does not count.
    """
    if all(entry.audited_from is None for entry in entries):
        return Audit((), ())
    # what has a score above a rung has gone on from it, whatever else is known of its jobs
    entries = [
        replace(entry, started_rung=max([entry.started_rung, *entry.scores])) for entry in entries
    ]
    lost_at = hold(
        entries, rungs=rungs, halving=halving, uncertain=_changing(entries), closing=True
    ).audits
    audited, wrong = [], []
    for entry in sorted(entries, key=lambda e: e.number):
        if entry.number not in lost_at:
            continue
        for rung in sorted(entry.scores, reverse=True):
            others = [e for e in entries if rung in e.scores and e.number not in lost_at]
            if rung > lost_at[entry.number] and others:
                audited.append(entry.number)
                if entry.number in _kept([*others, entry], rungs=rungs, rung=rung, halving=halving):
                    wrong.append(entry.number)
                break
    return Audit(tuple(audited), tuple(wrong))


def place_in_draw(number: int, *, seed: int) -> bytes:
    """Among eliminated trials the least becomes the next audit: by chance, whatever it scored, and
    the same in every process."""
    return hashlib.sha256(f"audit:{seed}:{number}".encode()).digest()


def _kept(
    entries: Sequence[Entry], *, rungs: Sequence[Rung], rung: int, halving: Halving
) -> list[int]:
    """Who would be kept of these at a rung, by number."""
    ranked = standing(entries, rungs=rungs, rung=rung, halving=halving)
    if rung < rungs[-1].index:
        kept = ranked[: halving.quota(len(ranked), rounded_up=True)]
    else:
        kept = _best(ranked, rung)
    return [entry.number for entry in kept]


def _best(ranked: Sequence[Entry], rung: int) -> list[Entry]:
    """The first, or with several objectives the first front of those that are as feasible."""
    if len(ranked[0].scores[rung]) == 1:
        return [ranked[0]]
    alike = [entry for entry in ranked if entry.feasible == ranked[0].feasible]
    return [alike[index] for index in first_front([entry.scores[rung] for entry in alike])]


def _changing(entries: Sequence[Entry]) -> list[bool]:
    """Per objective, whether training longer changes it: what is known without training has one
    value at all rungs."""
    scores = [list(entry.scores.values()) for entry in entries if entry.scores]
    return [
        any(point[objective] != points[0][objective] for points in scores for point in points)
        for objective in range(len(scores[0][0]) if scores else 0)
    ]

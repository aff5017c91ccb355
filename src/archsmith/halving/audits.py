"""The audit: a share of the eliminated runs on, so that a search can say how often it was wrong."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from archsmith.halving.entries import Entry
from archsmith.halving.ranking import first_front, standing
from archsmith.halving.settings import Halving
from archsmith.trial import Rung


class Audit(NamedTuple):
    """Of `audited` eliminated trials that ran on, those that proved to belong to the kept."""

    audited: tuple[int, ...]
    false_eliminations: tuple[int, ...]


def audit(entries: Sequence[Entry], *, rungs: Sequence[Rung], halving: Halving) -> Audit:
    """How the audited trials fared: falsely eliminated is who ranks among the kept one rung on.

    Among the kept of the last rung are the best alone, or with several objectives all that nobody
    dominates. Where nobody else finished that rung there is nothing to compare with, and the trial
    does not count.
    """
    audited, wrong = [], []
    for entry in sorted(entries, key=lambda e: e.number):
        if entry.audited_from is None or entry.audited_from + 1 not in entry.scores:
            continue
        rung = entry.audited_from + 1
        others = [e for e in entries if rung in e.scores and e.audited_from is None]
        if not others:
            continue
        audited.append(entry.number)
        ranked = standing([*others, entry], rungs=rungs, rung=rung, halving=halving)
        if rung < rungs[-1].index:
            kept = ranked[: halving.quota(len(ranked), rounded_up=True)]
        else:
            kept = _best(ranked, rung)
        if entry.number in {one.number for one in kept}:
            wrong.append(entry.number)
    return Audit(tuple(audited), tuple(wrong))


def _best(ranked: Sequence[Entry], rung: int) -> list[Entry]:
    """The first, or with several objectives the first front of those that are as feasible."""
    if len(ranked[0].scores[rung]) == 1:
        return [ranked[0]]
    alike = [entry for entry in ranked if entry.feasible == ranked[0].feasible]
    return [alike[index] for index in first_front([entry.scores[rung] for entry in alike])]


def is_audited(number: int, *, seed: int, share: float) -> bool:
    """Whether a trial runs on if it is eliminated; decided by its number before it is born."""
    digest = hashlib.sha256(f"audit:{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64

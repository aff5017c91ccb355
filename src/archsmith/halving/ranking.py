"""Who stands before whom: by value, or by front and crowding, or by the loss that is foreseen.

With several objectives candidates are ranked by front and crowding; what breaks a limit stands
behind all that meet them. With a horizon in seconds a trusted rung goes by the loss predicted for
it, from each trunk's readings up to the rung.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archsmith.halving.entries import Entry
from archsmith.halving.rungs import halves_truly
from archsmith.halving.settings import Halving
from archsmith.horizon import Reading, predict, shared_slope
from archsmith.trial import Rung


def rank(scores: Sequence[Sequence[float]]) -> list[int]:
    """Indices from best to worst: by value, or by front and then crowding distance."""
    if not scores:
        return []
    values = np.asarray(scores, dtype=np.float64)
    if values.shape[1] == 1:
        return [int(i) for i in np.argsort(values[:, 0], kind="stable")]
    # imported here: it takes most of a second, and only several objectives need it
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    order: list[int] = []
    for front in NonDominatedSorting().do(values):
        crowding = calc_crowding_distance(values[front])
        by_room = sorted(zip(-crowding, front, strict=True))  # ties: the earlier one
        order += [int(index) for _, index in by_room]
    return order


def first_front(scores: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that none dominates, in order."""
    if not scores:
        return []
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    fronts = NonDominatedSorting().do(
        np.asarray(scores, dtype=np.float64), only_non_dominated_front=True
    )
    return sorted(int(index) for index in fronts)


def standing(
    entries: Sequence[Entry], *, rungs: Sequence[Rung], rung: int, halving: Halving
) -> list[Entry]:
    """Those that finished `rung`, from best to worst: what meets the limits first, whatever the
    other scored. With a horizon their score there is the one foreseen."""
    ordered = sorted(
        _foreseen(entries, rungs=rungs, rung=rung, halving=halving), key=lambda entry: entry.number
    )
    groups = ([e for e in ordered if e.feasible], [e for e in ordered if not e.feasible])
    return [
        group[index] for group in groups for index in rank([entry.scores[rung] for entry in group])
    ]


def _foreseen(
    entries: Sequence[Entry], *, rungs: Sequence[Rung], rung: int, halving: Halving
) -> list[Entry]:
    """The same entries with their score at a rung as predicted for the horizon.

    The learned objective is the first; readings after the rung play no part. Below a tenth of the
    plan scores stand as they are: from one reading nothing can be foreseen but that fast networks
    are fast. Entries without training seconds keep their score as well.
    """
    if halving.horizon_seconds is None or not halves_truly(rungs[rung]):
        return list(entries)
    curves = {}
    for entry in entries:
        known = [index for index in entry.seconds if index <= rung and index in entry.scores]
        curves[entry.number] = [
            Reading(entry.seconds[index], rungs[index].train_bytes, entry.scores[index][0])
            for index in known
        ]
    slope = shared_slope(list(curves.values()))
    found = []
    for entry in entries:
        scores = dict(entry.scores)
        if rung in entry.seconds:
            ahead = predict(
                curves[entry.number], seconds=halving.horizon_seconds, shared_slope=slope
            )
            scores[rung] = (ahead.bits_per_byte, *scores[rung][1:])
        found.append(replace(entry, scores=scores))
    return found

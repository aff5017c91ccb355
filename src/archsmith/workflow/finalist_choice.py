"""Which candidates become finalists: the best by predicted loss, or with several objectives those
that show most of the front.

Bits per byte are the only objective that is uncertain; as in halving, they stand as predicted for
the final training beside what was known of a network before it was trained.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from archsmith.halving.ranking import first_front
from archsmith.store.records import TrialRecord
from archsmith.trial import TrialState
from archsmith.workflow.foresight import Foresight, readings
from archsmith.workflow.tasks import SIGNAL

_BEYOND = 0.1  # of the front's extent: how far beyond its worst the reference lies


def choose_finalists(
    trials: Sequence[TrialRecord],
    *,
    count: int,
    foresight: Foresight,
    objectives: Sequence[str] = (SIGNAL,),
    is_feasible: Callable[[TrialRecord], bool] = lambda trial: True,
    always: Sequence[int] = (0,),
) -> list[TrialRecord]:
    """The `count` best feasible trials, see `take_best`, and those in `always`.

    What was trained and then failed, or broke a limit that only training shows, is no candidate.
    """
    usable = [
        trial
        for trial in trials
        if readings(trial, foresight.horizon)
        and trial.state is not TrialState.FAILED
        and is_feasible(trial)
    ]
    predicted = {trial.number: foresight.of(trial).bits_per_byte for trial in usable}
    chosen = take_best(usable, count=count, predicted=predicted, objectives=objectives)
    chosen += [trial for trial in usable if trial.number in always and trial not in chosen]
    return chosen


def take_best(
    trials: Sequence[TrialRecord],
    *,
    count: int,
    predicted: Mapping[int, float],
    objectives: Sequence[str],
) -> list[TrialRecord]:
    """The `count` trials with the lowest predicted bits per byte (by number), lowest first.

    With several objectives only the first of them is taken for that. It is followed by those of the
    front that add most hypervolume, and then by whoever is next.
    """
    ordered = sorted(trials, key=lambda trial: (predicted[trial.number], trial.number))
    if len(objectives) < 2:
        return ordered[:count]
    known = [
        trial
        for trial in ordered
        if all(name == SIGNAL or name in trial.metrics for name in objectives)
    ]
    values = [
        tuple(
            predicted[trial.number] if name == SIGNAL else math.log2(max(trial.metrics[name], 1e-9))
            for name in objectives
        )
        for trial in known
    ]
    taken = [known[index] for index in most_volume(values, count=count)]
    numbers = {trial.number for trial in taken}
    return [*taken, *(trial for trial in ordered if trial.number not in numbers)][:count]


def most_volume(values: Sequence[Sequence[float]], *, count: int) -> list[int]:
    """Indices of the first point and of others on the front, at most `count`: each adds the most
    hypervolume to those before it.

    Every objective counts by its extent over the front. The reference point lies a tenth of that
    beyond the worst, so that the front's ends count as well.
    """
    if not values:
        return []
    import moocore  # 0.1 s, and only several objectives need it

    taken, rest = [0], [index for index in first_front(values) if index != 0]
    front = np.array([values[index] for index in (*taken, *rest)], dtype=np.float64)
    low = front.min(axis=0)
    extent = front.max(axis=0) - low
    unit = (np.array(values) - low) / np.where(extent > 0, extent, 1.0)
    reference = np.full(unit.shape[1], 1.0 + _BEYOND)

    def volume(index: int) -> float:
        return float(moocore.hypervolume(unit[[*taken, index]], ref=reference))

    while rest and len(taken) < count:
        best = max(rest, key=volume)  # ties: the earlier one
        rest.remove(best)
        taken.append(best)
    return taken


def fit_cooldowns(
    trials: Sequence[TrialRecord],
    *,
    seconds_of: Callable[[TrialRecord], float],
    room_seconds: float,
    num_slots: int,
) -> list[TrialRecord]:
    """As many of them, best first, as can be cooled down in the room there is.

    The first of them, and what the search began with, are kept in any case.
    """
    due = [place for place, trial in enumerate(trials) if place == 0 or trial.number == 0]
    free, kept = [0.0] * num_slots, []
    for place in (*due, *(place for place in range(len(trials)) if place not in due)):
        end = free[0] + seconds_of(trials[place])
        if place in due or end <= room_seconds:
            heapq.heapreplace(free, end)
            kept.append(place)
    return [trials[place] for place in sorted(kept)]

"""What trials on a ladder teach: scores at the first rung each finished, which never change.

A trial that goes on is scored again after more text, and better for that alone. Whoever learns from
the latest scores of all learns who was promoted; so a model of values is fitted to those of one
rung, as BOHB fits one per budget (Falkner et al. 2018, arXiv 1807.01774). A promotion then changes
nothing of what was learned, and a history only grows at its end.

Strategies that rank (`_drafts.merit`, `nsga2.survive`) need none of this: they compare within a
rung already.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.strategies._drafts import Finished, finished
from archsmith.trial import METRICS, Observation, Problem

_BITS = "bits_per_byte"
_OF_TRAINING = (_BITS, "train_seconds")  # of the known metrics, those that another rung changes


def at_first_rungs(problem: Problem, history: Sequence[Observation]) -> list[Finished]:
    """Finished trials as they were after their first rung, in the order in which they came to it.

    A trial stands with its latest values and their rung where earlier ones are not known, as of a
    task. Without a ladder this is `finished`.
    """
    if len(problem.rungs) < 2:
        return finished(problem, history)
    if history and set(_changing(problem, history[0].architecture)) <= {_BITS}:
        rungs = {float(rung.train_bytes): rung.index for rung in problem.rungs}
        history = [_at_first_rung(observation, rungs) for observation in history]
    since = {o.number: o.finished[0] if o.finished else 0.0 for o in history}
    return sorted(finished(problem, history), key=lambda trial: since[trial.number])


def compared(problem: Problem, trials: Sequence[Finished]) -> list[Finished]:
    """The same trials with values that compare, whatever their rungs, as of the commonest rung.

    Nothing is known of other rungs but how their scores lie among themselves: they are given the
    mean and the deviation of the commonest rung's.
    """
    rungs = [trial.rung for trial in trials]
    if len(problem.rungs) < 2 or len(set(rungs)) < 2:
        return list(trials)
    common = max(sorted(set(rungs)), key=rungs.count)
    values, own = np.array([trial.values for trial in trials]), np.array(rungs)
    for name in _changing(problem, trials[0].point):
        column = values[:, problem.objectives.index(name)]
        mean, deviation = column[own == common].mean(), column[own == common].std()
        for rung in set(rungs) - {common}:
            scores = column[own == rung]
            spread = scores.std()
            away = (scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores)
            column[own == rung] = mean + deviation * away
    return [
        trial._replace(rung=common, values=tuple(row))
        for trial, row in zip(trials, values.tolist(), strict=True)
    ]


def _at_first_rung(observation: Observation, rungs: Mapping[float, int]) -> Observation:
    """What was known of a trial after its first rung, as far as its curve tells."""
    if observation.rung < 1 or not observation.curve:
        return observation
    train_bytes, bits = observation.curve[0]
    if train_bytes not in rungs:
        return observation
    metrics = {**observation.metrics, _BITS: bits}
    return observation.model_copy(update={"metrics": metrics, "rung": rungs[train_bytes]})


def _changing(problem: Problem, point: Any) -> list[str]:
    """The objectives that more training changes: a loss or a task's score, not a network's costs.

    What is measured of a network is measured once, before its first rung.
    """
    known = problem.static_metrics(point)
    return [
        name
        for name in dict.fromkeys(problem.objectives)
        if name not in known and (name in _OF_TRAINING or name not in METRICS)
    ]

"""What is best of a search so far, and whose checkpoints are kept for it."""

from collections.abc import Sequence

from archsmith.halving.ranking import first_front, rank
from archsmith.runtime.search import broken_limits
from archsmith.store.records import TrialRecord
from archsmith.trial import Limit, Problem, TrialState


def find_best(
    trials: Sequence[TrialRecord], *, objectives: Sequence[str], limits: Sequence[Limit]
) -> list[TrialRecord]:
    """The best of all trials that finished the highest rung anyone finished and meet the limits.

    With one objective the best alone; with several the Pareto front, sorted by the first one.
    Ties go to the older trial. Empty before a first result.
    """
    usable = [
        trial
        for trial in trials
        if trial.rung >= 0
        and trial.state in (TrialState.COMPLETE, TrialState.PENDING)
        and all(name in trial.metrics for name in objectives)
        and not broken_limits(limits, trial.metrics)
    ]
    top = max((trial.rung for trial in usable), default=-1)
    usable = [trial for trial in usable if trial.rung == top]
    values = [tuple(trial.metrics[name] for name in objectives) for trial in usable]
    if len(objectives) == 1:
        return [usable[index] for index in rank(values)[:1]]
    front = [usable[index] for index in first_front(values)]
    return sorted(front, key=lambda trial: (trial.metrics[objectives[0]], trial.number))


def worth_keeping(trials: Sequence[TrialRecord], problem: Problem) -> list[TrialRecord]:
    """Whose checkpoints the disk budget never takes: the best, and what the search began with.
    Of the others the worst go first, so that those in the lead stay longest."""
    best = find_best(trials, objectives=problem.objectives, limits=problem.limits)
    return [*best, *(trial for trial in trials if trial.number == 0)]

"""The search itself: propose, reject, train, promote, until trials or their time are up."""

from collections.abc import Callable
from typing import Literal

from archsmith.budget import Budget
from archsmith.evaluators.base import Evaluator
from archsmith.runtime.driver import StopReason
from archsmith.runtime.events import Event
from archsmith.study import Study
from archsmith.trial import TrialState
from archsmith.workflow.planning import trial_shares
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.watcher import Watcher

SPENT = "search_seconds"
_NOTE_SECONDS = 5.0


def run_search(
    study: Study,
    evaluator: Evaluator,
    *,
    config: SearchConfig,
    budget: Budget | None,
    notes: StudyNotes,
    watcher: Watcher,
    executor: Literal["processes", "inline"],
    clock: Callable[[], float],
    is_enough: Callable[[], bool],
) -> None:
    """Search for the time that is left of the budget, with what earlier starts took taken off.

    Args:
        is_enough: asked where trials may end early, so that finalists can be trained again.
        clock: what seconds are measured with.
    """

    def search_for(seconds: float | None, *, is_last: bool) -> bool:
        """Whether more time would find more."""
        started, before = clock(), float(notes.get(SPENT) or 0.0)
        noted = started

        def tell(event: Event) -> None:
            nonlocal noted
            if clock() - noted > _NOTE_SECONDS:  # a killed search keeps its account
                noted = clock()
                notes.put(SPENT, before + noted - started)
            watcher.event(event)

        def run(*, n_trials: int | None, n_jobs: int) -> StopReason:
            return study.optimize(
                evaluator,
                n_trials=n_trials,
                timeout=seconds,
                n_jobs=n_jobs,
                executor=executor,
                clock=clock,
                on_event=tell,
                # a second thread gains little on small networks and loses much to neighbours
                threads=1,
            )

        try:
            if config.shared_weights is not None and config.n_jobs > 1 and not _scored(study):
                # one job trains what all inherit; others would wait for it, and be paid for that
                run(n_trials=1, n_jobs=1)
                if seconds is not None and _scored(study):
                    seconds = max(seconds - (clock() - started), 0.0)
            while True:
                reason = run(n_trials=config.n_trials, n_jobs=config.n_jobs)
                if not is_last or seconds is None or _scored(study):
                    return reason is StopReason.TIMEOUT
                if not any(trial.state is TrialState.PENDING for trial in study.trials):
                    return False
                # the first trunk goes on: what the final training extends is not lost time
                watcher.note("no first rung is finished yet; the search goes on until one is")
        finally:
            notes.put(SPENT, before + clock() - started)

    if budget is None:
        search_for(None, is_last=True)
        return
    shares = trial_shares(config.plan, budget, supernet=config.shared_weights)
    for share in shares:
        if share > shares[0] and is_enough():
            return
        left = budget.search_seconds * share - float(notes.get(SPENT) or 0.0)
        if left > 0 and not search_for(left, is_last=share == shares[-1]):
            return


def _scored(study: Study) -> bool:
    """Whether a candidate has finished its first rung."""
    return any(trial.rung >= 0 for trial in study.trials)

"""The loop that keeps workers busy: decide, run, record, until a limit is reached or Ctrl-C."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from archsmith.errors import ArchsmithError, EvaluationError, SearchInterrupted
from archsmith.runtime import disk, events
from archsmith.runtime.search import Search, Step
from archsmith.runtime.worker import is_dead
from archsmith.store.records import TrialRecord
from archsmith.store.store import Store
from archsmith.trial import TrialState
from archsmith.units import format_bytes

# So many failures with one reason and no success end a search.
_HOPELESS = 5
# Between two looks at live readings and at the request to stop, in seconds.
LOOK_SECONDS = 0.5


class StopReason(StrEnum):
    """Why a search ended."""

    N_TRIALS = "the number of trials is reached"
    TIMEOUT = "the time is up"
    EXHAUSTED = "the space has no new feasible point"


class Executor(Protocol):
    """Where jobs run."""

    num_slots: int

    def num_busy(self) -> int:
        """Slots that hold a job."""

    def work(self) -> None:
        """Run a job, or look after those under way for a moment."""

    def close(self, *, kill: bool = False) -> None:
        """Let jobs checkpoint and stop."""


class Interrupts:
    """Ctrl-C and SIGTERM: the first asks to stop, the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0

    def asked(self) -> bool:
        """Whether to stop."""
        return self.count > 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen inside the block; elsewhere than in the main thread nothing can be heard."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self._hear) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _hear(self, number: int, frame: object) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt


def take_back_dead_leases(store: Store, study: str) -> None:
    """Free the jobs of processes of this machine that are gone, without waiting for the lease."""
    for job in store.queue.leased(study):
        if is_dead(job.owner):
            store.queue.lose(job, "its process died")


def drive(
    search: Search,
    executor: Executor,
    *,
    n_trials: int | None,
    is_over: Callable[[], bool],
    interrupts: Interrupts,
    budget_bytes: int,
    best: Callable[[Sequence[TrialRecord]], list[TrialRecord]],
    on_event: Callable[[events.Event], None],
) -> StopReason:
    """Run a search until it is done, then let its workers stop.

    Args:
        search: what to do.
        executor: where to do it; closed in any case.
        n_trials: trials the study shall hold in the end; None for no such limit.
        is_over: whether the time is up.
        interrupts: whether the user asked to stop.
        budget_bytes: what checkpoints may hold.
        best: the trials whose checkpoints are never deleted.
        on_event: the listener.

    Raises:
        SearchInterrupted: stopped by the user; everything finished is kept.
        StoreError: the disk is full, or the store cannot be used.
        EvaluationError: the first candidates all fail alike, or workers cannot start.
    """
    try:
        try:
            reason = _loop(
                search, executor, n_trials, is_over, interrupts, budget_bytes, best, on_event
            )
        except BaseException as error:
            # what we raise on purpose leaves time to checkpoint
            executor.close(kill=not isinstance(error, ArchsmithError))
            raise
        executor.close()
        search.refresh()
    except KeyboardInterrupt:
        reason = None
    if reason is None:
        raise SearchInterrupted(
            f"study '{search.study}' was stopped; every finished result is kept, and the same "
            "command continues it"
        )
    return reason


def _loop(
    search: Search,
    executor: Executor,
    n_trials: int | None,
    is_over: Callable[[], bool],
    interrupts: Interrupts,
    budget_bytes: int,
    best: Callable[[Sequence[TrialRecord]], list[TrialRecord]],
    on_event: Callable[[events.Event], None],
) -> StopReason | None:
    """Why it ended; None if it was stopped."""
    looked, stored = time.monotonic(), -1
    failed_before = _failed(search)
    while not interrupts.asked():
        if is_over():
            return StopReason.TIMEOUT
        step = Step.WAITING
        # In this order: a job that ends between the two looks is still counted as busy, and what
        # was decided without its result is not decided at all.
        busy = executor.num_busy()
        search.refresh()
        if search.num_waiting() < executor.num_slots - busy:
            finished = sum(job.checkpoint_out != "" for job in search.jobs)
            if finished != stored:
                stored = finished
                _keep_within_budget(search, budget_bytes, best, on_event)
            _check_not_hopeless(search, failed_before)
            step = search.step(n_trials)
        if step is Step.DONE:
            return StopReason.EXHAUSTED if search.exhausted else StopReason.N_TRIALS
        executor.work()
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            tell_progress(search.store, search.study, on_event)
            if search.store.stop_requested(search.study):
                return None
    return None


def _failed(search: Search) -> set[int]:
    return {n for n, trial in search.trials.items() if trial.state is TrialState.FAILED}


def _check_not_hopeless(search: Search, failed_before: set[int]) -> None:
    """Stop where every candidate fails alike: then it is not the candidates' fault.

    Raises:
        EvaluationError: naming the common reason.
    """
    failed = _failed(search) - failed_before
    if len(failed) < _HOPELESS or any(trial.rung >= 0 for trial in search.trials.values()):
        return
    reasons = {search.trials[number].reason for number in failed}
    if len(reasons) == 1:
        raise EvaluationError(
            f"the first {len(failed)} candidates failed in the same way, and none succeeded: "
            f"{reasons.pop()}"
        )


def _keep_within_budget(
    search: Search,
    budget_bytes: int,
    best: Callable[[Sequence[TrialRecord]], list[TrialRecord]],
    on_event: Callable[[events.Event], None],
) -> None:
    store, study = search.store, search.study
    freed = disk.make_room(
        store,
        study,
        search.trials,
        objectives=search.problem.objectives,
        best={trial.number for trial in best(list(search.trials.values()))},
        last_rung=max(len(search.problem.rungs) - 1, 0),
        budget_bytes=budget_bytes,
    )
    if freed.num_bytes:
        text = f"checkpoints collected: {format_bytes(freed.num_bytes)} freed"
        if freed.ended:
            text += f"; no longer promoted without theirs: trial {', '.join(map(str, freed.ended))}"
        on_event(events.Notice(text=text))
        search.refresh()
    disk.check_space(store, study, budget_bytes=budget_bytes)


def tell_progress(store: Store, study: str, on_event: Callable[[events.Event], None]) -> None:
    """Tell the latest reading of every job under way."""
    for job in store.queue.running(study):
        if job.progress_at is not None:
            on_event(
                events.Progressed(
                    number=job.number,
                    kind=job.kind.value,
                    rung=job.rung,
                    train_bytes=job.train_bytes,
                    fraction_done=job.fraction_done,
                    metrics=job.metrics,
                )
            )

"""Jobs beside the ladder, queued together and run to their ends: extensions and repeats.

They go through the study's queue like all others, under leases: a batch that was killed is begun
again by the same call, and what is done of it is not done twice.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from archsmith.errors import ArchsmithError, SearchInterrupted
from archsmith.evaluators.base import Evaluator
from archsmith.runtime.changes import announce
from archsmith.runtime.driver import (
    LOOK_SECONDS,
    Executor,
    Interrupts,
    take_back_dead_leases,
    tell_progress,
)
from archsmith.runtime.events import Event, Notice
from archsmith.runtime.inline import InlineExecutor
from archsmith.runtime.parts import stored_evaluator
from archsmith.runtime.supervisor import Supervisor
from archsmith.runtime.worker import owner_name
from archsmith.store.records import JobRecord, JobState, NewJob, TrialRecord
from archsmith.store.store import Store


def run_batch(
    store: Store,
    study: str,
    jobs: Sequence[NewJob],
    *,
    executor: Callable[[Sequence[JobRecord], Interrupts], Executor],
    is_over: Callable[[], bool] = lambda: False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> list[JobRecord]:
    """Queue jobs of existing trials, run those that are not done yet, and return all as they are.

    Args:
        jobs: in the order in which they are taken up.
        executor: makes what runs the open ones; it takes no others.
        is_over: whether the time is up: jobs under way are checkpointed, and stay open.
        on_event: told what happens.

    Raises:
        SearchInterrupted: stopped by Ctrl-C, SIGTERM or a request to stop, after checkpointing.
    """
    store.request_stop(study, stop=False)
    take_back_dead_leases(store, study)
    for job in jobs:
        store.queue.enqueue(study, job)
    waiting = [job for job in find_jobs(store, study, jobs) if job.is_open]
    if waiting:
        interrupts = Interrupts()
        with interrupts.listening():
            _drive(
                store, study, waiting, executor(waiting, interrupts), interrupts, is_over, on_event
            )
    return find_jobs(store, study, jobs)


def run_side_by_side(
    store: Store,
    study: str,
    jobs: Sequence[NewJob],
    *,
    n_jobs: int = 1,
    executor: Literal["processes", "inline"] = "processes",
    timeout: float | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    threads: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> list[JobRecord]:
    """`run_batch` on the study's own evaluator.

    Args:
        jobs: all of one kind.
        n_jobs: worker processes. executor: `processes`, or `inline` for one job at a time, here.
        timeout: seconds by `clock`, after which jobs are checkpointed and stay open.
        threads: of one job.
    """
    deadline = None if timeout is None else clock() + timeout

    def is_over() -> bool:
        return deadline is not None and clock() >= deadline

    def place(waiting: Sequence[JobRecord], interrupts: Interrupts) -> Executor:
        kinds = {job.kind for job in waiting}
        if executor == "inline":
            return inline_executor(
                store,
                study,
                threads=threads,
                on_event=on_event,
                stop=lambda: interrupts.asked() or is_over(),
                kinds=tuple(kinds),
            )
        return Supervisor(
            store,
            study,
            num_slots=min(n_jobs, len(waiting)),
            threads=threads,
            on_notice=lambda text: on_event(Notice(text=text)),
            kinds=tuple(kinds),
        )

    return run_batch(store, study, jobs, executor=place, is_over=is_over, on_event=on_event)


def run_here(
    store: Store,
    study: str,
    job: NewJob,
    *,
    evaluator: Evaluator | None,
    threads: int,
    on_event: Callable[[Event], None],
) -> JobRecord:
    """`run_batch` of one job in this process; the study's evaluator where none is given."""

    def place(waiting: Sequence[JobRecord], interrupts: Interrupts) -> Executor:
        return inline_executor(
            store,
            study,
            evaluator=evaluator,
            threads=threads,
            on_event=on_event,
            stop=interrupts.asked,
            job_id=waiting[0].id,
        )

    (done,) = run_batch(store, study, [job], executor=place, on_event=on_event)
    return done


def inline_executor(
    store: Store,
    study: str,
    *,
    evaluator: Evaluator | None = None,
    threads: int,
    on_event: Callable[[Event], None],
    stop: Callable[[], bool],
    **jobs: Any,
) -> InlineExecutor:
    """Runs jobs beside the ladder in this process, with the study's evaluator if none is given."""
    return InlineExecutor(
        store,
        study,
        evaluator or stored_evaluator(store, study),
        owner=owner_name(),
        threads=threads,
        point_of=lambda number: store.trial(study, number).architecture,
        on_claim=lambda: None,
        on_event=on_event,
        stop=stop,
        **jobs,
    )


def find_jobs(store: Store, study: str, jobs: Sequence[NewJob]) -> list[JobRecord]:
    """The stored jobs that these are, in the same order."""
    trials = {number: store.trial(study, number) for number in {job.number for job in jobs}}
    return [
        next(stored for stored in trials[job.number].jobs if _content(stored) == _content(job))
        for job in jobs
    ]


def _content(job: NewJob | JobRecord) -> tuple[object, ...]:
    """What no two jobs of a trial share."""
    return job.kind, job.rung, job.seed, job.label


def _drive(
    store: Store,
    study: str,
    jobs: Sequence[JobRecord],
    executor: Executor,
    interrupts: Interrupts,
    is_over: Callable[[], bool],
    on_event: Callable[[Event], None],
) -> None:
    """Work until the jobs are done or the time is up; the executor is closed in any case."""
    stopped = True
    try:
        try:
            stopped = _work_off(
                store, study, {job.id for job in jobs}, executor, interrupts, is_over, on_event
            )
        except BaseException as error:
            executor.close(kill=not isinstance(error, ArchsmithError))
            raise
        executor.close()
    except KeyboardInterrupt:
        pass
    if stopped:
        raise SearchInterrupted(
            f"study '{study}' was stopped after a checkpoint; the same command continues it"
        )


def _work_off(
    store: Store,
    study: str,
    ids: Collection[int],
    executor: Executor,
    interrupts: Interrupts,
    is_over: Callable[[], bool],
    on_event: Callable[[Event], None],
) -> bool:
    """Whether somebody asked to stop."""
    revision, trials = -1, dict[int, TrialRecord]()
    looked = time.monotonic()
    while not interrupts.asked():
        revision, changed = store.changes(study, since=revision)
        for trial in changed:
            if trial.number in trials:
                for event in announce(trials[trial.number], trial):
                    on_event(event)
            trials[trial.number] = trial
        waiting = [
            job for trial in trials.values() for job in trial.jobs if job.id in ids and job.is_open
        ]
        if not waiting or is_over():
            return False
        executor.work()
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            tell_progress(store, study, on_event)
            if store.stop_requested(study):
                return True
        if executor.num_busy() == 0 and all(job.state is JobState.LEASED for job in waiting):
            time.sleep(LOOK_SECONDS)  # other processes have them
    return True

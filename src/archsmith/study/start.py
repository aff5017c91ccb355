"""What comes before a search's first job: refusals, clearing up, and where its jobs will run."""

from collections.abc import Callable
from typing import Literal

from archsmith.errors import ConfigError
from archsmith.evaluators.base import Evaluator
from archsmith.runtime import disk
from archsmith.runtime.driver import Executor, take_back_dead_leases
from archsmith.runtime.events import Event, Notice
from archsmith.runtime.inline import InlineExecutor
from archsmith.runtime.search import Search
from archsmith.runtime.supervisor import Supervisor
from archsmith.runtime.worker import owner_name
from archsmith.store.store import Store


def check_options(*, n_trials: int | None, n_jobs: int, executor: str) -> None:
    """Raises ConfigError where no search can run so."""
    if n_trials is not None and n_trials < 1:
        raise ConfigError(f"n_trials: at least 1 is needed, got {n_trials}")
    if n_jobs < 1:
        raise ConfigError(f"n_jobs: at least 1 is needed, got {n_jobs}")
    if executor == "inline" and n_jobs != 1:
        raise ConfigError(
            f"n_jobs: the inline executor runs one job at a time, got {n_jobs}; "
            "use executor='processes'"
        )


def clear_up(store: Store, study: str, *, on_event: Callable[[Event], None]) -> None:
    """Take back what an earlier run left: its request to stop, dead leases, files of no job."""
    store.request_stop(study, stop=False)
    take_back_dead_leases(store, study)
    freed = disk.collect_orphans(store, study)
    if freed:
        on_event(Notice(text=f"left by an interrupted run and deleted: {freed} bytes"))


def choose_executor(
    kind: Literal["processes", "inline"],
    search: Search,
    evaluator: Evaluator,
    *,
    n_jobs: int,
    threads: int,
    memory_bytes: int,
    stuck_seconds: float,
    stop: Callable[[], bool],
    on_event: Callable[[Event], None],
) -> Executor:
    """Where a search's jobs run.

    Args:
        kind: worker processes, or one job at a time in this process.
        n_jobs: worker processes.
        threads: of one job.
        memory_bytes: a worker that uses more is stopped.
        stuck_seconds: so is one without progress for so long.
        stop: whether a job in this process shall be checkpointed and stop.
    """
    if kind == "inline":
        return InlineExecutor(
            search.store,
            search.study,
            evaluator,
            owner=owner_name(),
            threads=threads,
            point_of=lambda number: search.trials[number].architecture,
            on_claim=search.refresh,
            on_event=on_event,
            stop=stop,
        )
    return Supervisor(
        search.store,
        search.study,
        num_slots=n_jobs,
        threads=threads,
        on_notice=lambda text: on_event(Notice(text=text)),
        memory_bytes=memory_bytes,
        stuck_seconds=stuck_seconds,
    )

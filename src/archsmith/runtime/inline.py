"""The worker loop in the search's own process: for tests, notebooks and debugging."""

from collections.abc import Callable, Sequence
from typing import Any

from archsmith.evaluators.base import Evaluator, Progress
from archsmith.runtime.events import Event, Progressed
from archsmith.runtime.lease import LEASE_SECONDS
from archsmith.runtime.worker import run_job
from archsmith.store.records import SEARCH_KINDS, JobKind, JobRecord
from archsmith.store.store import Store


class InlineExecutor:
    """Runs one job at a time, here, whenever it is asked to `work`."""

    num_slots = 1

    def __init__(
        self,
        store: Store,
        study: str,
        evaluator: Evaluator,
        *,
        owner: str,
        threads: int,
        point_of: Callable[[int], Any],
        on_claim: Callable[[], object],
        on_event: Callable[[Event], None],
        stop: Callable[[], bool],
        lease_seconds: float = LEASE_SECONDS,
        job_id: int | None = None,
        kinds: Sequence[JobKind] = SEARCH_KINDS,
    ) -> None:
        self._job_id, self._kinds = job_id, tuple(kinds)
        self._on_claim = on_claim
        self._on_event = on_event
        self._store = store
        self._study = study
        self._evaluator = evaluator
        self._owner = owner
        self._threads = threads
        self._point_of = point_of
        self._stop = stop
        self._lease_seconds = lease_seconds

    def num_busy(self) -> int:
        """Jobs of this executor under way; none between two calls."""
        return 0

    def work(self) -> None:
        """Run the next job, if there is one."""
        job = self._store.queue.claim(
            self._study,
            owner=self._owner,
            lease_seconds=self._lease_seconds,
            threads=self._threads,
            kinds=self._kinds,
            job_id=self._job_id,
        )
        if job is None:
            return
        self._on_claim()
        run_job(
            self._store,
            job,
            self._evaluator,
            self._point_of(job.number),
            lease_seconds=self._lease_seconds,
            stop=self._stop,
            on_progress=lambda progress: self._on_event(_event(job, progress)),
        )

    def close(self, *, kill: bool = False) -> None:
        """Nothing runs between two calls."""


def _event(job: JobRecord, progress: Progress) -> Progressed:
    return Progressed(
        number=job.number,
        kind=job.kind.value,
        rung=job.rung,
        train_bytes=progress.train_bytes,
        fraction_done=progress.fraction_done,
        metrics=progress.metrics,
    )

"""Keeping a job: a thread renews the lease and listens for the request to stop."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from archsmith.errors import StoreError
from archsmith.store.records import JobRecord
from archsmith.store.store import Store

LEASE_SECONDS = 60.0


class LeaseKeeper:
    """Renews a lease three times per term while its block runs.

    `should_stop()` is True once the lease is another's, the study asks its workers to stop, or
    `stop` says so.
    """

    def __init__(
        self,
        store: Store,
        job: JobRecord,
        *,
        lease_seconds: float = LEASE_SECONDS,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.lost = threading.Event()
        self._store = store
        self._job = job
        self._lease_seconds = lease_seconds
        self._stop = stop
        self._asked = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="archsmith-lease")

    def should_stop(self) -> bool:
        """Whether to checkpoint and return."""
        return self.lost.is_set() or self._asked.is_set() or self._stop()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        # The flag in the store is looked at more often than the lease needs renewing.
        pause = min(self._lease_seconds / 3, 2.0)
        since_renewal = 0.0
        while not self._done.wait(pause):
            since_renewal += pause
            try:
                if self._store.stop_requested(self._job.study):
                    self._asked.set()
                if since_renewal >= self._lease_seconds / 3:
                    since_renewal = 0.0
                    if not self._store.queue.renew(self._job, lease_seconds=self._lease_seconds):
                        self.lost.set()
                        return
            except StoreError:
                continue  # tried again in a moment; a lease lasts three renewals

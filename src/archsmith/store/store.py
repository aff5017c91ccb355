"""The store: the one truth about every study. A killed run, a second worker and a replay read it.

    store = connect("studies.db", create=False, read_only=True)
    for trial in store.trials("notes"):
        print(trial.number, trial.metrics.get("bits_per_byte"))

One short transaction per call. The work to be done on trials is `Store.queue`, see `queue.py`.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from archsmith.errors import StoreError
from archsmith.store import checkpoints, jobs, studies, trials
from archsmith.store.database import describe, sqlite_path, transaction
from archsmith.store.opening import open_engine
from archsmith.store.queue import JobQueue
from archsmith.store.records import (
    CheckpointRecord,
    LedgerEntry,
    NewJob,
    StudyRecord,
    TrialRecord,
)
from archsmith.trial import Observation, Proposal, TrialState


def connect(
    url: str | Path,
    *,
    create: bool = False,
    read_only: bool = False,
    clock: Callable[[], float] = time.time,
) -> "Store":
    """Open a store: a file, `sqlite:///FILE` or a PostgreSQL URL.

    Args:
        url: where it is.
        create: make it if it does not exist.
        read_only: create and change nothing; an older store is then refused, not migrated.
        clock: seconds since 1970.

    Raises:
        StoreError: missing, damaged, something else's, or of another version.
    """
    return Store(open_engine(url, create=create, read_only=read_only), clock=clock)


class Store:
    """A connected store; see `connect`. Safe to use from several threads."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.clock = clock
        self.queue = JobQueue(engine, clock=clock, study=self.study)
        self._studies: dict[str, StudyRecord] = {}

    @property
    def url(self) -> str:
        """What another process passes to `connect`."""
        path = sqlite_path(self.engine.url)
        return str(path) if path else self.engine.url.render_as_string(hide_password=False)

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for a server."""
        return sqlite_path(self.engine.url)

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    # studies

    def create_study(self, name: str, *, spec: Mapping[str, Any], seed: int) -> StudyRecord:
        """Add a study. Raises StoreError if the name is taken."""
        try:
            with transaction(self.engine, "durable") as connection:
                studies.insert(connection, name, spec=spec, seed=seed, now=self.clock())
        except IntegrityError:
            raise StoreError(
                f"{describe(self.engine)} has a study '{name}' already; choose another name, "
                "or continue it with load_if_exists"
            ) from None
        return self.study(name)

    def study(self, name: str) -> StudyRecord:
        """The study of that name. Raises StoreError."""
        if name not in self._studies:
            with transaction(self.engine, "read") as connection:
                self._studies[name] = studies.select(connection, name)
        return self._studies[name]

    def studies(self) -> list[StudyRecord]:
        """Every study, oldest first."""
        with transaction(self.engine, "read") as connection:
            return studies.select_all(connection)

    def request_stop(self, study: str, *, stop: bool = True) -> None:
        """Ask every worker of a study, wherever it runs, to checkpoint and stop."""
        study_id = self.study(study).id
        with transaction(self.engine, "write") as connection:
            studies.set_stop(connection, study_id, stop=int(stop))

    def stop_requested(self, study: str) -> bool:
        """Whether the workers of a study are asked to stop."""
        with transaction(self.engine, "read") as connection:
            return studies.stop_requested(connection, self.study(study).id)

    def put_note(self, study: str, key: str, value: Any) -> None:
        """Write a JSON value under a key, replacing what was there."""
        study_id = self.study(study).id
        with transaction(self.engine, "write") as connection:
            studies.put_note(connection, study_id, key, value)

    def notes(self, study: str) -> dict[str, Any]:
        """All notes of a study by key."""
        with transaction(self.engine, "read") as connection:
            return studies.notes(connection, self.study(study).id)

    def spend(
        self,
        study: str,
        phase: str,
        *,
        seconds: float,
        cpu_seconds: float = 0.0,
        flops: float = 0.0,
        number: int | None = None,
    ) -> None:
        """Enter something that was spent outside of jobs; jobs are entered by themselves."""
        entry = LedgerEntry(
            phase=phase,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            flops=flops,
            number=number,
            created=self.clock(),
        )
        study_id = self.study(study).id
        with transaction(self.engine, "write") as connection:
            studies.add_ledger(connection, study_id, entry)

    def ledger(self, study: str) -> list[LedgerEntry]:
        """Everything that was spent, in order."""
        with transaction(self.engine, "read") as connection:
            return studies.ledger(connection, self.study(study).id)

    # trials

    def trials(self, study: str) -> list[TrialRecord]:
        """Every trial with its jobs, metrics and curves, by number."""
        record = self.study(study)
        with transaction(self.engine, "read") as connection:
            return trials.changed(connection, record, since=-1, curves=True)[1]

    def trial(self, study: str, number: int) -> TrialRecord:
        """One trial with its curves. Raises StoreError."""
        record = self.study(study)
        with transaction(self.engine, "read") as connection:
            return trials.select(connection, record, number)

    def changes(self, study: str, *, since: int) -> tuple[int, list[TrialRecord]]:
        """Trials changed after revision `since` and the revision reached; the curves of
        unfinished ones alone."""
        record = self.study(study)
        with transaction(self.engine, "read") as connection:
            return trials.changed(connection, record, since=since, curves=False)

    def observations(self, study: str) -> list[Observation]:
        """The history as strategies see it, by number."""
        return [trial.observation for trial in self.changes(study, since=-1)[1]]

    def find_trial(self, study: str, point: Any) -> int | None:
        """The number of the trial that holds this point, if one does."""
        with transaction(self.engine, "read") as connection:
            return trials.known_hash(connection, self.study(study).id, point)

    def add_trial(
        self,
        study: str,
        proposal: Proposal,
        *,
        number: int,
        static_metrics: Mapping[str, float],
        rejected: str = "",
        job: NewJob | None = None,
    ) -> bool:
        """Add trial `number` and, in the same transaction, its first job.

        Returns:
            False if another process added this number or this point meanwhile: look again.
        """
        study_id, now = self.study(study).id, self.clock()
        state = TrialState.REJECTED if rejected else TrialState.PENDING
        try:
            with transaction(self.engine, "write") as connection:
                row = trials.insert(
                    connection,
                    study_id,
                    proposal,
                    number=number,
                    state=state,
                    reason=rejected,
                    static_metrics=static_metrics,
                    now=now,
                )
                if job is not None:
                    jobs.insert(connection, study_id, job, row=row, now=now)
                trials.stamp(connection, study_id, row)
        except IntegrityError:
            return False
        return True

    def reject(self, study: str, number: int, reason: str) -> None:
        """Note that a trial broke a limit that was measured; it is not trained."""
        self._stamp(study, number, state=TrialState.REJECTED.value, reason=reason)

    def set_eliminated(self, study: str, number: int, rung: int | None) -> None:
        """Note that a trial was not promoted beyond `rung`; None takes it back."""
        self._stamp(study, number, eliminated_rung=rung)

    def _stamp(self, study: str, number: int, **values: Any) -> None:
        study_id = self.study(study).id
        with transaction(self.engine, "write") as connection:
            row = trials.row_id(connection, study_id, number)
            trials.stamp(connection, study_id, row, **values)

    # checkpoints

    def checkpoints(self, study: str) -> list[CheckpointRecord]:
        """Checkpoints that should be on disk, oldest first."""
        with transaction(self.engine, "read") as connection:
            return checkpoints.select_live(connection, self.study(study).id)

    def forget_checkpoints(self, study: str, gone: Collection[CheckpointRecord]) -> None:
        """Note that checkpoints were deleted; a promotion of their trial starts afresh."""
        study_id = self.study(study).id
        with transaction(self.engine, "write") as connection:
            for checkpoint in gone:
                checkpoints.set_collected(connection, checkpoint)
                row = trials.row_id(connection, study_id, checkpoint.number)
                trials.stamp(connection, study_id, row)

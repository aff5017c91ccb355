"""The store: the one truth about every study. A killed run, a second worker and a replay read it.

    store = connect("studies.db", create=False, read_only=True)
    for trial in store.trials("notes"):
        print(trial.number, trial.metrics.get("bits_per_byte"))

One short transaction per call. `finish`, `fail` and `enqueue` return when the disk has the result.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from archsmith.errors import StoreError
from archsmith.store import checkpoints, queue, studies, trials
from archsmith.store.database import (
    check_integrity,
    check_revision,
    database_url,
    describe,
    make_engine,
    schema_revision,
    sqlite_path,
    transaction,
)
from archsmith.store.encoding import finite, from_json, to_json
from archsmith.store.migrate import create_schema, upgrade
from archsmith.store.records import (
    BESIDE,
    SEARCH_KINDS,
    CheckpointRecord,
    JobKind,
    JobRecord,
    JobState,
    LedgerEntry,
    NewJob,
    RunningJob,
    StudyRecord,
    TrialRecord,
)
from archsmith.trial import Observation, Proposal, TrialState

Curve = Iterable[tuple[int, float, str, float]]


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
    where = database_url(url)
    path = sqlite_path(where)
    if path is not None:
        if path.is_dir():
            raise StoreError(f"the store {path} is a folder; name a file")
        if not path.exists() and not create:
            raise StoreError(
                f"there is no store at {path}; a search makes one, or name another file"
            )
        if not path.parent.is_dir():
            raise StoreError(f"the folder of the store {path} does not exist; make it first")
    engine = make_engine(where, read_only=read_only)
    try:
        _prepare(engine, create=create, read_only=read_only)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, clock=clock)


def _prepare(engine: Engine, *, create: bool, read_only: bool) -> None:
    check_integrity(engine)
    found = schema_revision(engine)
    if found is None:
        if not create:
            raise StoreError(f"{describe(engine)} is empty: no study was ever written to it")
        create_schema(engine)
    elif not check_revision(engine, found):
        if read_only:
            raise StoreError(
                f"{describe(engine)} was written by an older archsmith (schema {found}); "
                "start its search once to bring it up to date (a copy is kept)"
            )
        upgrade(engine)


class Store:
    """A connected store; see `connect`. Safe to use from several threads."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.clock = clock
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
            found = trials.changed(connection, record, since=-1, curves=True, number=number)[1]
        if not found:
            raise StoreError(f"study '{study}' has no trial {number}")
        return found[0]

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
                    queue.insert(connection, study_id, job, row=row, now=now)
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

    # the queue

    def enqueue(self, study: str, job: NewJob) -> int | None:
        """Queue a job of an existing trial; None if the same job exists already."""
        study_id = self.study(study).id
        try:
            with transaction(self.engine, "durable") as connection:
                row = trials.row_id(connection, study_id, job.number)
                added = queue.insert(connection, study_id, job, row=row, now=self.clock())
                if added is None:
                    return None
                values: dict[str, Any] = {}
                if job.kind not in BESIDE:
                    values = {"state": TrialState.PENDING.value, "eliminated_rung": None}
                trials.stamp(connection, study_id, row, **values)
                return added
        except IntegrityError:
            return None

    def claim(
        self,
        study: str,
        *,
        owner: str,
        lease_seconds: float,
        threads: int = 1,
        kinds: Sequence[JobKind] = SEARCH_KINDS,
        job_id: int | None = None,
    ) -> JobRecord | None:
        """Lease the oldest job of these kinds (or the one named); None if there is none."""
        record = self.study(study)
        if not self._has_work(record, kinds, job_id) and not self.expire_leases(study):
            return None
        with transaction(self.engine, "write") as connection:
            return queue.claim(
                connection,
                record,
                owner=owner,
                lease_seconds=lease_seconds,
                threads=threads,
                kinds=kinds,
                job_id=job_id,
                now=self.clock(),
            )

    def _has_work(self, study: StudyRecord, kinds: Collection[JobKind], job_id: int | None) -> bool:
        with transaction(self.engine, "read") as connection:
            return queue.next_claimable(connection, study.id, kinds, job_id) is not None

    def renew(self, job: JobRecord, *, lease_seconds: float) -> bool:
        """Prolong a lease; False if it is no longer the owner's: stop, the work is another's."""
        with transaction(self.engine, "write") as connection:
            return queue.renew(connection, job, lease_until=self.clock() + lease_seconds)

    def finish(
        self,
        job: JobRecord,
        *,
        metrics: Mapping[str, float],
        curve: Curve = (),
        checkpoint: str = "",
        checkpoint_bytes: int = 0,
        details: Mapping[str, Any] | None = None,
        cpu_seconds: float = 0.0,
        wall_seconds: float = 0.0,
    ) -> bool:
        """Record a complete result and end the lease. A metric that is no number is a failure.

        Returns:
            False if the lease was lost: nothing is recorded.
        """
        details = dict(details or {})
        bad = finite(metrics)
        reason = f"not a finite number: {bad}" if bad else _not_json(details)
        if reason:
            return self.fail(job, reason, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds)
        points = [point for point in curve if not finite({point[2]: point[3]})]
        record = self.study(job.study)
        flops = _told_flops(details)
        if job.checkpoint_in and job.kind is not JobKind.REPEAT:
            # what a continued trunk tells holds what was entered before
            same = [
                other
                for other in self.trial(job.study, job.number).jobs
                if other.state is JobState.DONE and other.kind is not JobKind.REPEAT
            ]
            entered = [_told_flops(other.details) for other in same]
            flops = max(flops - max(entered, default=0.0), 0.0)
        with transaction(self.engine, "durable") as connection:
            settled = queue.settle(
                connection,
                record,
                job,
                state=JobState.DONE,
                trial_state=TrialState.COMPLETE if job.kind is JobKind.RUNG else None,
                reason="",
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                flops=flops,
                now=self.clock(),
                checkpoint_out=checkpoint,
                details=to_json(details),
            )
            if settled:
                queue.add_results(connection, job, metrics=metrics, curve=points)
                if checkpoint:
                    checkpoints.insert(
                        connection,
                        job,
                        path=checkpoint,
                        num_bytes=checkpoint_bytes,
                        now=self.clock(),
                    )
            return settled

    def fail(
        self,
        job: JobRecord,
        reason: str,
        *,
        retryable: bool = False,
        traceback: str = "",
        cpu_seconds: float = 0.0,
        wall_seconds: float = 0.0,
    ) -> bool:
        """Record a failure. A retryable one is queued again until its third; False: lease lost.

        `reason` is the trial's, one sentence; the job keeps `traceback` behind it.
        """
        given_up = job.losses + 1 >= queue.MAX_LOSSES
        again = retryable and not given_up
        if retryable and given_up:
            reason = f"put aside after {queue.MAX_LOSSES} attempts: {reason}"
        failed = None if again or job.kind in BESIDE else TrialState.FAILED
        record = self.study(job.study)
        with transaction(self.engine, "durable") as connection:
            return queue.settle(
                connection,
                record,
                job,
                state=JobState.LOST if again else JobState.FAILED,
                trial_state=failed,
                reason=reason,
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                flops=0.0,
                now=self.clock(),
                lost=retryable,
                error="\n".join(part for part in (reason, traceback) if part),
            )

    def preempt(
        self,
        job: JobRecord,
        *,
        checkpoint: str = "",
        cpu_seconds: float = 0.0,
        wall_seconds: float = 0.0,
    ) -> bool:
        """Hand back a job that was asked to stop; it goes on from `checkpoint`. No failure."""
        record = self.study(job.study)
        with transaction(self.engine, "durable") as connection:
            return queue.settle(
                connection,
                record,
                job,
                state=JobState.WAITING,
                trial_state=None,
                reason="",
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                flops=0.0,
                now=self.clock(),
                checkpoint_in=checkpoint or job.checkpoint_in,
            )

    def leased(self, study: str) -> list[JobRecord]:
        """Jobs under a lease, whoever holds it."""
        record = self.study(study)
        with transaction(self.engine, "read") as connection:
            return queue.leased(connection, record)

    def expire_leases(self, study: str) -> list[JobRecord]:
        """Take jobs from owners that stopped renewing; they are queued again."""
        now = self.clock()
        expired = [job for job in self.leased(study) if job.lease_until < now]
        reason = "its worker stopped answering"
        return [job for job in expired if self.lose(job, reason)]

    def lose(self, job: JobRecord, reason: str) -> bool:
        """Take a job from a worker that is dead; its third loss is a failure."""
        end = min(self.clock(), job.lease_until)
        seconds = max(end - (job.started or end), 0.0)
        return self.fail(job, reason, retryable=True, wall_seconds=seconds)

    # live readings

    def report_progress(
        self,
        job: JobRecord,
        reading: Mapping[str, Any],
        *,
        curve: Curve = (),
        replace: bool = False,
    ) -> None:
        """Write the latest reading of a job (step, train_bytes, fraction_done, metrics) and a
        batch of curve points; `replace`s those from its first on, as a resumed job must."""
        reading = {**reading, "metrics": _finite_only(reading.get("metrics", {}))}
        points = [point for point in curve if not finite({point[2]: point[3]})]
        with transaction(self.engine, "write") as connection:
            queue.set_progress(connection, job, to_json(reading), now=self.clock())
            queue.add_readings(connection, job, points, replace=replace)

    def running(self, study: str) -> list[RunningJob]:
        """Jobs under way with their latest reading."""
        study_id = self.study(study).id
        with transaction(self.engine, "read") as connection:
            found = queue.running(connection, study_id)
        return [_with_reading(job, from_json(text)) for job, text in found]

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


def _told_flops(details: Mapping[str, Any]) -> float:
    """Training FLOPs of a trunk from its start on, and of its cooled-down branches."""
    return float(details.get("flops", 0.0)) + float(details.get("branch_flops", 0.0))


def _not_json(details: Mapping[str, Any]) -> str:
    try:
        to_json(details)
    except (TypeError, ValueError) as error:
        return f"details are not JSON values: {error}"
    return ""


def _finite_only(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not finite({name: value})}


def _with_reading(job: RunningJob, reading: Mapping[str, Any]) -> RunningJob:
    return RunningJob(
        number=job.number,
        kind=job.kind,
        rung=job.rung,
        owner=job.owner,
        started=job.started,
        progress_at=job.progress_at,
        step=reading.get("step", 0),
        train_bytes=reading.get("train_bytes", 0),
        fraction_done=reading.get("fraction_done", 0.0),
        metrics=reading.get("metrics", {}),
        job_id=job.job_id,
    )

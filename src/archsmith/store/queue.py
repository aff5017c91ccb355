"""The queue of jobs: who may work on what, and how an attempt ends.

A claim gives a worker a lease, which it renews; only the owner of the lease may finish, fail or
hand back the job, so that a worker that was thought dead cannot overwrite its successor. A lost
job is claimed again from its last checkpoint; the third loss puts it aside, so that a candidate
that kills its worker cannot do so for ever. Every attempt is entered in the ledger.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from archsmith.store import checkpoints, jobs, readings, trials
from archsmith.store.database import transaction
from archsmith.store.encoding import to_json
from archsmith.store.records import (
    BESIDE,
    SEARCH_KINDS,
    JobKind,
    JobRecord,
    JobState,
    NewJob,
    RunningJob,
    StudyRecord,
)
from archsmith.store.results import Curve, finite_metrics, finite_points, refusal, told_flops
from archsmith.trial import TrialState

MAX_LOSSES = 3


class JobQueue:
    """The jobs of a connected store, as `Store.queue`. `finish`, `fail`, `preempt` and `enqueue`
    return when the disk has the result."""

    def __init__(
        self, engine: Engine, *, clock: Callable[[], float], study: Callable[[str], StudyRecord]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._study = study

    def enqueue(self, study: str, job: NewJob) -> int | None:
        """Queue a job of an existing trial; None if the same job exists already."""
        study_id = self._study(study).id
        try:
            with transaction(self._engine, "durable") as connection:
                row = trials.row_id(connection, study_id, job.number)
                added = jobs.insert(connection, study_id, job, row=row, now=self._clock())
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
        record = self._study(study)
        if not self._has_work(record, kinds, job_id) and not self.expire_leases(study):
            return None
        with transaction(self._engine, "write") as connection:
            return jobs.claim(
                connection,
                record,
                owner=owner,
                lease_seconds=lease_seconds,
                threads=threads,
                kinds=kinds,
                job_id=job_id,
                now=self._clock(),
            )

    def _has_work(self, study: StudyRecord, kinds: Collection[JobKind], job_id: int | None) -> bool:
        with transaction(self._engine, "read") as connection:
            return jobs.next_claimable(connection, study.id, kinds, job_id) is not None

    def renew(self, job: JobRecord, *, lease_seconds: float) -> bool:
        """Prolong a lease; False if it is no longer the owner's: stop, the work is another's."""
        with transaction(self._engine, "write") as connection:
            return jobs.renew(connection, job, lease_until=self._clock() + lease_seconds)

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
        reading = {**reading, "metrics": finite_metrics(reading.get("metrics", {}))}
        points = finite_points(curve)
        with transaction(self._engine, "write") as connection:
            jobs.set_progress(connection, job, to_json(reading), now=self._clock())
            readings.add_readings(connection, job, points, replace=replace)

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
        reason = refusal(metrics, details)
        if reason:
            return self.fail(job, reason, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds)
        points = finite_points(curve)
        flops = max(told_flops(details) - self._entered_flops(job), 0.0)
        record = self._study(job.study)
        with transaction(self._engine, "durable") as connection:
            settled = jobs.settle(
                connection,
                record,
                job,
                state=JobState.DONE,
                trial_state=TrialState.COMPLETE if job.kind is JobKind.RUNG else None,
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                flops=flops,
                now=self._clock(),
                checkpoint_out=checkpoint,
                details=to_json(details),
            )
            if settled:
                readings.add_results(connection, job, metrics=metrics, curve=points)
                if checkpoint:
                    checkpoints.insert(
                        connection,
                        job,
                        path=checkpoint,
                        num_bytes=checkpoint_bytes,
                        now=self._clock(),
                    )
            return settled

    def _entered_flops(self, job: JobRecord) -> float:
        """FLOPs of a continued trunk that its earlier jobs entered: what it tells holds them."""
        if not job.checkpoint_in or job.kind is JobKind.REPEAT:
            return 0.0
        record = self._study(job.study)
        with transaction(self._engine, "read") as connection:
            trial = trials.select(connection, record, job.number)
        done = [other for other in trial.jobs if other.state is JobState.DONE]
        own = [o for o in done if o.kind is not JobKind.REPEAT and not o.is_inherited]
        return max((told_flops(other.details) for other in own), default=0.0)

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
        given_up = job.losses + 1 >= MAX_LOSSES
        again = retryable and not given_up
        if retryable and given_up:
            reason = f"put aside after {MAX_LOSSES} attempts: {reason}"
        failed = None if again or job.kind in BESIDE else TrialState.FAILED
        record = self._study(job.study)
        with transaction(self._engine, "durable") as connection:
            return jobs.settle(
                connection,
                record,
                job,
                state=JobState.LOST if again else JobState.FAILED,
                trial_state=failed,
                reason=reason,
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                now=self._clock(),
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
        record = self._study(job.study)
        with transaction(self._engine, "durable") as connection:
            return jobs.settle(
                connection,
                record,
                job,
                state=JobState.WAITING,
                cpu_seconds=cpu_seconds,
                wall_seconds=wall_seconds,
                now=self._clock(),
                checkpoint_in=checkpoint or job.checkpoint_in,
            )

    def lose(self, job: JobRecord, reason: str) -> bool:
        """Take a job from a worker that is dead; its third loss is a failure."""
        end = min(self._clock(), job.lease_until)
        seconds = max(end - (job.started or end), 0.0)
        return self.fail(job, reason, retryable=True, wall_seconds=seconds)

    def expire_leases(self, study: str) -> list[JobRecord]:
        """Take jobs from owners that stopped renewing; they are queued again."""
        now = self._clock()
        expired = [job for job in self.leased(study) if job.lease_until < now]
        reason = "its worker stopped answering"
        return [job for job in expired if self.lose(job, reason)]

    def leased(self, study: str) -> list[JobRecord]:
        """Jobs under a lease, whoever holds it."""
        record = self._study(study)
        with transaction(self._engine, "read") as connection:
            return jobs.leased(connection, record)

    def running(self, study: str) -> list[RunningJob]:
        """Jobs under way with their latest reading."""
        study_id = self._study(study).id
        with transaction(self._engine, "read") as connection:
            return jobs.running(connection, study_id)

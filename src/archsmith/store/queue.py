"""Statements on jobs: a queue with leases.

A claim gives a worker a lease, which it renews; only the owner of the lease may finish, fail or
hand back the job, so that a worker that was thought dead cannot overwrite its successor. A lost
job is claimed again from its last checkpoint; the third loss puts it aside, so that a candidate
that kills its worker cannot do so for ever. Every attempt is entered in the ledger.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.store import schema, trials
from archsmith.store.encoding import to_json
from archsmith.store.records import (
    OPEN_STATES,
    JobKind,
    JobRecord,
    JobState,
    LedgerEntry,
    NewJob,
    RunningJob,
    StudyRecord,
)
from archsmith.store.studies import add_ledger
from archsmith.trial import TrialState

MAX_LOSSES = 3
_jobs = schema.jobs
_CLAIMABLE = (JobState.WAITING.value, JobState.LOST.value)


def insert(
    connection: Connection, study_id: int, job: NewJob, *, row: int, now: float
) -> int | None:
    """Queue a job and return its id; None if the same job exists already."""
    same = sa.select(_jobs.c.id).where(
        _jobs.c.candidate_id == row,
        _jobs.c.kind == job.kind.value,
        _jobs.c.rung == job.rung,
        _jobs.c.seed == job.seed,
        _jobs.c.label == job.label,
    )
    if connection.execute(same).first() is not None:
        return None
    inserted = connection.execute(
        sa.insert(_jobs).values(
            study_id=study_id,
            candidate_id=row,
            kind=job.kind.value,
            rung=job.rung,
            fraction=job.fraction,
            train_bytes=job.train_bytes,
            seed=job.seed,
            label=job.label,
            state=JobState.WAITING.value,
            owner="",
            lease_until=0.0,
            attempt=0,
            losses=0,
            options=to_json(dict(job.options)),
            checkpoint_in=job.checkpoint_in,
            checkpoint_out="",
            error="",
            details="",
            created=now,
            cpu_seconds=0.0,
            wall_seconds=0.0,
            threads=0,
            progress="",
        )
    )
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


def claimable(study_id: int, kinds: Collection[JobKind], job_id: int | None) -> sa.Select[Any]:
    """The oldest job that may be claimed."""
    query = sa.select(_jobs).where(
        _jobs.c.study_id == study_id,
        _jobs.c.state.in_(_CLAIMABLE),
        _jobs.c.kind.in_([kind.value for kind in kinds]),
    )
    if job_id is not None:
        query = query.where(_jobs.c.id == job_id)
    return query.order_by(_jobs.c.id).limit(1)


def claim(
    connection: Connection,
    study: StudyRecord,
    *,
    owner: str,
    lease_seconds: float,
    threads: int,
    kinds: Collection[JobKind],
    job_id: int | None,
    now: float,
) -> JobRecord | None:
    """Lease the oldest job to `owner`. The thread count of the first claim stays."""
    query = claimable(study.id, kinds, job_id).with_for_update(skip_locked=True)
    row = connection.execute(query).first()
    if row is None:
        return None
    connection.execute(
        sa.update(_jobs)
        .where(_jobs.c.id == row.id)
        .values(
            state=JobState.LEASED.value,
            owner=owner,
            lease_until=now + lease_seconds,
            attempt=row.attempt + 1,
            threads=row.threads or threads,
            started=now,
            finished=None,
            progress="",
            progress_at=None,
        )
    )
    trials.stamp(connection, study.id, row.candidate_id)
    return _read(connection, study, row.id)


def renew(connection: Connection, job: JobRecord, *, lease_until: float) -> bool:
    """Prolong a lease; False if it is no longer the owner's."""
    changed = connection.execute(
        sa.update(_jobs).where(_owned(job)).values(lease_until=lease_until)
    )
    return changed.rowcount == 1


def settle(
    connection: Connection,
    study: StudyRecord,
    job: JobRecord,
    *,
    state: JobState,
    trial_state: TrialState | None,
    reason: str,
    cpu_seconds: float,
    wall_seconds: float,
    flops: float,
    now: float,
    lost: bool = False,
    error: str = "",
    **values: Any,
) -> bool:
    """End an attempt: give up the lease, add up its time, enter it in the ledger."""
    changed = connection.execute(
        sa.update(_jobs)
        .where(_owned(job))
        .values(
            state=state.value,
            lease_until=0.0,
            finished=None if state in OPEN_STATES else now,
            cpu_seconds=_jobs.c.cpu_seconds + cpu_seconds,
            wall_seconds=_jobs.c.wall_seconds + wall_seconds,
            losses=_jobs.c.losses + int(lost),
            error=error,
            **values,
        )
    )
    if changed.rowcount != 1:
        return False
    phase = f"{job.kind.value} {job.rung}" if job.kind is JobKind.RUNG else job.kind.value
    entry = LedgerEntry(
        phase=phase,
        seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        flops=flops,
        number=job.number,
        created=now,
    )
    add_ledger(connection, study.id, entry)
    row = trials.row_id(connection, study.id, job.number)
    if trial_state is None:
        trials.stamp(connection, study.id, row)
    else:
        trials.stamp(connection, study.id, row, state=trial_state.value, reason=reason)
    return True


def add_results(
    connection: Connection,
    job: JobRecord,
    *,
    metrics: Mapping[str, float],
    curve: Iterable[tuple[int, float, str, float]],
) -> None:
    """Write the metrics of a finished job; its curve replaces live readings from there on."""
    rows = [{"job_id": job.id, "name": name, "value": float(v)} for name, v in metrics.items()]
    if rows:
        connection.execute(sa.insert(schema.metrics), rows)
    add_readings(connection, job, curve, replace=True)


def add_readings(
    connection: Connection,
    job: JobRecord,
    points: Iterable[tuple[int, float, str, float]],
    *,
    replace: bool,
) -> None:
    """Write a batch of (train_bytes, seconds, metric, value); `replace` those from its first on."""
    rows = [
        {"job_id": job.id, "train_bytes": b, "seconds": s, "name": name, "value": float(value)}
        for b, s, name, value in points
    ]
    if not rows:
        return
    table = schema.readings
    if replace:
        later = table.c.train_bytes >= min(int(row["train_bytes"]) for row in rows)  # type: ignore[call-overload]
        connection.execute(sa.delete(table).where(table.c.job_id == job.id, later))
    connection.execute(sa.insert(table), rows)


def set_progress(connection: Connection, job: JobRecord, text: str, *, now: float) -> None:
    """Write the latest live reading of a job."""
    values = {"progress": text, "progress_at": now}
    connection.execute(sa.update(_jobs).where(_owned(job)).values(**values))


def leased(connection: Connection, study: StudyRecord) -> list[JobRecord]:
    """Jobs under a lease, whoever holds it."""
    query = sa.select(_jobs, schema.candidates.c.number).join(schema.candidates)
    query = query.where(_jobs.c.study_id == study.id, _jobs.c.state == JobState.LEASED.value)
    rows = connection.execute(query.order_by(_jobs.c.id))
    return [trials.job_record(row, study.name, {}) for row in rows]


def running(connection: Connection, study_id: int) -> list[tuple[RunningJob, str]]:
    """Jobs under a lease with the JSON of their latest reading."""
    query = sa.select(_jobs, schema.candidates.c.number).join(schema.candidates)
    query = query.where(_jobs.c.study_id == study_id, _jobs.c.state == JobState.LEASED.value)
    return [
        (
            RunningJob(
                number=row.number,
                kind=JobKind(row.kind),
                rung=row.rung,
                owner=row.owner,
                started=row.started,
                progress_at=row.progress_at,
                job_id=row.id,
            ),
            row.progress,
        )
        for row in connection.execute(query.order_by(_jobs.c.id))
    ]


def _read(connection: Connection, study: StudyRecord, job_id: int) -> JobRecord:
    query = sa.select(_jobs, schema.candidates.c.number).join(schema.candidates)
    row = connection.execute(query.where(_jobs.c.id == job_id)).one()
    return trials.job_record(row, study.name, {})


def _owned(job: JobRecord) -> sa.ColumnElement[bool]:
    return sa.and_(
        _jobs.c.id == job.id,
        _jobs.c.state == JobState.LEASED.value,
        _jobs.c.owner == job.owner,
        _jobs.c.attempt == job.attempt,
    )

"""Statements on jobs: queue one, lease one, end an attempt.

Only the owner of a lease changes a job: every update of a leased job names owner and attempt.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.store import schema, trials
from archsmith.store.encoding import from_json, to_json
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

_jobs = schema.jobs
_CLAIMABLE = (JobState.WAITING.value, JobState.LOST.value)
_ALL = 2**31 - 1

# Statements are built once: building one costs more than running it.
_SAME = sa.select(_jobs.c.id).where(
    _jobs.c.candidate_id == sa.bindparam("row"),
    _jobs.c.kind == sa.bindparam("of"),
    _jobs.c.rung == sa.bindparam("at"),
    _jobs.c.seed == sa.bindparam("with"),
    _jobs.c.label == sa.bindparam("as"),
)
_CLAIMABLE_JOB = (
    sa.select(_jobs)
    .where(
        _jobs.c.study_id == sa.bindparam("study"),
        _jobs.c.state.in_(sa.bindparam("states", expanding=True)),
        _jobs.c.kind.in_(sa.bindparam("kinds", expanding=True)),
        _jobs.c.id >= sa.bindparam("first"),
        _jobs.c.id <= sa.bindparam("last"),
    )
    .order_by(_jobs.c.id)
    .limit(1)
)
_CLAIM = _CLAIMABLE_JOB.with_for_update(skip_locked=True)
_BY_ID = sa.update(_jobs).where(_jobs.c.id == sa.bindparam("job"))
_IF_OWNED = sa.update(_jobs).where(
    _jobs.c.id == sa.bindparam("owned"),
    _jobs.c.state == JobState.LEASED.value,
    _jobs.c.owner == sa.bindparam("by"),
    _jobs.c.attempt == sa.bindparam("on_attempt"),
)
_SETTLE = _IF_OWNED.values(
    cpu_seconds=_jobs.c.cpu_seconds + sa.bindparam("more_cpu"),
    wall_seconds=_jobs.c.wall_seconds + sa.bindparam("more_wall"),
    losses=_jobs.c.losses + sa.bindparam("more_losses"),
)
_WITH_NUMBER = sa.select(_jobs, schema.candidates.c.number).join(schema.candidates)
_ONE = _WITH_NUMBER.where(_jobs.c.id == sa.bindparam("job"))
_LEASED = _WITH_NUMBER.where(
    _jobs.c.study_id == sa.bindparam("study"), _jobs.c.state == JobState.LEASED.value
).order_by(_jobs.c.id)


def insert(
    connection: Connection, study_id: int, job: NewJob, *, row: int, now: float
) -> int | None:
    """Queue a job and return its id; None if the same job exists already."""
    content = {"row": row, "of": job.kind.value, "at": job.rung, "with": job.seed, "as": job.label}
    if connection.execute(_SAME, content).first() is not None:
        return None
    values = {
        "study_id": study_id,
        "candidate_id": row,
        "kind": job.kind.value,
        "rung": job.rung,
        "fraction": job.fraction,
        "train_bytes": job.train_bytes,
        "seed": job.seed,
        "label": job.label,
        "state": JobState.WAITING.value,
        "owner": "",
        "lease_until": 0.0,
        "attempt": 0,
        "losses": 0,
        "options": to_json(dict(job.options)),
        "checkpoint_in": job.checkpoint_in,
        "checkpoint_out": "",
        "error": "",
        "details": "",
        "created": now,
        "cpu_seconds": 0.0,
        "wall_seconds": 0.0,
        "threads": 0,
        "progress": "",
    }
    inserted = connection.execute(sa.insert(_jobs), values)
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


def next_claimable(
    connection: Connection,
    study_id: int,
    kinds: Collection[JobKind],
    job_id: int | None,
    *,
    lock: bool = False,
) -> Any:
    """The row of the oldest job that may be claimed, or None; `lock`ed for this transaction."""
    where = {
        "study": study_id,
        "states": _CLAIMABLE,
        "kinds": tuple(kind.value for kind in kinds),
        "first": 0 if job_id is None else job_id,
        "last": _ALL if job_id is None else job_id,
    }
    return connection.execute(_CLAIM if lock else _CLAIMABLE_JOB, where).first()


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
    row = next_claimable(connection, study.id, kinds, job_id, lock=True)
    if row is None:
        return None
    values = {
        "state": JobState.LEASED.value,
        "owner": owner,
        "lease_until": now + lease_seconds,
        "attempt": row.attempt + 1,
        "threads": row.threads or threads,
        "started": now,
        "finished": None,
        "progress": "",
        "progress_at": None,
    }
    connection.execute(_BY_ID, {"job": row.id, **values})
    trials.stamp(connection, study.id, row.candidate_id)
    return _read(connection, study, row.id)


def renew(connection: Connection, job: JobRecord, *, lease_until: float) -> bool:
    """Prolong a lease; False if it is no longer the owner's."""
    changed = connection.execute(_IF_OWNED, {**_owner(job), "lease_until": lease_until})
    return changed.rowcount == 1


def settle(
    connection: Connection,
    study: StudyRecord,
    job: JobRecord,
    *,
    state: JobState,
    cpu_seconds: float,
    wall_seconds: float,
    now: float,
    trial_state: TrialState | None = None,
    reason: str = "",
    flops: float = 0.0,
    lost: bool = False,
    error: str = "",
    **values: Any,
) -> bool:
    """End an attempt: give up the lease, add up its time, enter it in the ledger.

    `trial_state` and `reason` become the trial's, other values the job's. False: lease lost.
    """
    values |= {
        "state": state.value,
        "lease_until": 0.0,
        "finished": None if state in OPEN_STATES else now,
        "more_cpu": cpu_seconds,
        "more_wall": wall_seconds,
        "more_losses": int(lost),
        "error": error,
    }
    changed = connection.execute(_SETTLE, {**_owner(job), **values})
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


def set_progress(connection: Connection, job: JobRecord, text: str, *, now: float) -> None:
    """Write the latest live reading of a job."""
    values = {"progress": text, "progress_at": now}
    connection.execute(_IF_OWNED, {**_owner(job), **values})


def leased(connection: Connection, study: StudyRecord) -> list[JobRecord]:
    """Jobs under a lease, whoever holds it."""
    rows = connection.execute(_LEASED, {"study": study.id})
    return [trials.job_record(row, study.name, {}) for row in rows]


def running(connection: Connection, study_id: int) -> list[RunningJob]:
    """Jobs under a lease with their latest reading."""
    return [_running(row) for row in connection.execute(_LEASED, {"study": study_id})]


def _running(row: Any) -> RunningJob:
    reading = from_json(row.progress)
    return RunningJob(
        number=row.number,
        kind=JobKind(row.kind),
        rung=row.rung,
        owner=row.owner,
        started=row.started,
        progress_at=row.progress_at,
        step=reading.get("step", 0),
        train_bytes=reading.get("train_bytes", 0),
        fraction_done=reading.get("fraction_done", 0.0),
        metrics=reading.get("metrics", {}),
        job_id=row.id,
    )


def _read(connection: Connection, study: StudyRecord, job_id: int) -> JobRecord:
    row = connection.execute(_ONE, {"job": job_id}).one()
    return trials.job_record(row, study.name, {})


def _owner(job: JobRecord) -> dict[str, Any]:
    return {"owned": job.id, "by": job.owner, "on_attempt": job.attempt}

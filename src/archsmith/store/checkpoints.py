"""Statements on checkpoints: which files exist, how large they are, which were collected."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.store import schema
from archsmith.store.records import CheckpointRecord, JobKind, JobRecord

_table = schema.checkpoints


def insert(
    connection: Connection, job: JobRecord, *, path: str, num_bytes: int, now: float
) -> None:
    """Enter a checkpoint; an earlier entry of the same job and path is replaced."""
    connection.execute(sa.delete(_table).where(_table.c.job_id == job.id, _table.c.path == path))
    connection.execute(
        sa.insert(_table).values(
            job_id=job.id, path=path, bytes=num_bytes, state="live", created=now
        )
    )


def select_live(connection: Connection, study_id: int) -> list[CheckpointRecord]:
    """Checkpoints that should be on disk, oldest first."""
    tables = _table.join(schema.jobs).join(schema.candidates)
    query = (
        sa.select(_table, schema.candidates.c.number, schema.jobs.c.kind, schema.jobs.c.rung)
        .select_from(tables)
        .where(schema.jobs.c.study_id == study_id, _table.c.state == "live")
        .order_by(_table.c.id)
    )
    return [
        CheckpointRecord(
            id=row.id,
            job_id=row.job_id,
            number=row.number,
            kind=JobKind(row.kind),
            rung=row.rung,
            path=row.path,
            num_bytes=row.bytes,
        )
        for row in connection.execute(query)
    ]


def set_collected(connection: Connection, checkpoint: CheckpointRecord) -> None:
    """Note that a checkpoint was deleted from disk; its job no longer offers it."""
    connection.execute(
        sa.update(_table).where(_table.c.id == checkpoint.id).values(state="collected")
    )
    connection.execute(
        sa.update(schema.jobs)
        .where(schema.jobs.c.id == checkpoint.job_id)
        .where(schema.jobs.c.checkpoint_out == checkpoint.path)
        .values(checkpoint_out="")
    )

"""Statements on what jobs read of their networks: final metrics, and points of curves."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.store import schema
from archsmith.store.records import JobRecord
from archsmith.store.results import Curve


def add_results(
    connection: Connection,
    job: JobRecord,
    *,
    metrics: Mapping[str, float],
    curve: Curve,
) -> None:
    """Write the metrics of a finished job; its curve replaces live readings from there on."""
    rows = [{"job_id": job.id, "name": name, "value": float(v)} for name, v in metrics.items()]
    if rows:
        connection.execute(sa.insert(schema.metrics), rows)
    add_readings(connection, job, curve, replace=True)


def add_readings(
    connection: Connection,
    job: JobRecord,
    points: Curve,
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

"""Statements on studies, their notes and their ledger."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.errors import StoreError, did_you_mean
from archsmith.store import schema
from archsmith.store.encoding import from_json, to_json
from archsmith.store.records import LedgerEntry, StudyRecord


def insert(
    connection: Connection, name: str, *, spec: Mapping[str, Any], seed: int, now: float
) -> None:
    """Add a study."""
    connection.execute(
        sa.insert(schema.studies).values(
            name=name, spec=to_json(dict(spec)), seed=seed, created=now, revision=0, stop=0
        )
    )


def select(connection: Connection, name: str) -> StudyRecord:
    """The study of that name. Raises StoreError."""
    query = sa.select(schema.studies).where(schema.studies.c.name == name)
    row = connection.execute(query).one_or_none()
    if row is None:
        known = connection.execute(sa.select(schema.studies.c.name)).scalars().all()
        raise StoreError(f"the store has no study '{name}'; {did_you_mean(name, known)}")
    return _record(row)


def select_all(connection: Connection) -> list[StudyRecord]:
    """Every study, oldest first."""
    rows = connection.execute(sa.select(schema.studies).order_by(schema.studies.c.id))
    return [_record(row) for row in rows]


def set_stop(connection: Connection, study_id: int, *, stop: int) -> None:
    """Ask every worker of a study to stop, or take that back."""
    connection.execute(
        sa.update(schema.studies).where(schema.studies.c.id == study_id).values(stop=stop)
    )


def stop_requested(connection: Connection, study_id: int) -> bool:
    """Whether the workers of a study are asked to stop."""
    query = sa.select(schema.studies.c.stop).where(schema.studies.c.id == study_id)
    return bool(connection.execute(query).scalar_one())


def put_note(connection: Connection, study_id: int, key: str, value: Any) -> None:
    """Write a JSON value under a key, replacing what was there."""
    here = (schema.notes.c.study_id == study_id) & (schema.notes.c.key == key)
    connection.execute(sa.delete(schema.notes).where(here))
    connection.execute(
        sa.insert(schema.notes).values(study_id=study_id, key=key, value=to_json(value))
    )


def notes(connection: Connection, study_id: int) -> dict[str, Any]:
    """All notes of a study by key."""
    query = sa.select(schema.notes.c.key, schema.notes.c.value)
    query = query.where(schema.notes.c.study_id == study_id).order_by(schema.notes.c.key)
    return {row.key: from_json(row.value) for row in connection.execute(query)}


def add_ledger(connection: Connection, study_id: int, entry: LedgerEntry) -> None:
    """Enter something that was spent."""
    values = {"study_id": study_id, **asdict(entry)}
    connection.execute(sa.insert(schema.ledger), values)


def ledger(connection: Connection, study_id: int) -> list[LedgerEntry]:
    """Everything that was spent, in order."""
    query = sa.select(schema.ledger).where(schema.ledger.c.study_id == study_id)
    return [
        LedgerEntry(
            phase=row.phase,
            seconds=row.seconds,
            cpu_seconds=row.cpu_seconds,
            flops=row.flops,
            number=row.number,
            created=row.created,
        )
        for row in connection.execute(query.order_by(schema.ledger.c.id))
    ]


_COUNT_CHANGE = (
    sa.update(schema.studies)
    .where(schema.studies.c.id == sa.bindparam("study"))
    .values(revision=schema.studies.c.revision + 1)
)


def count_change(connection: Connection, study_id: int) -> None:
    """Count one change; written late in a transaction, because it serializes writers."""
    connection.execute(_COUNT_CHANGE, {"study": study_id})


def _record(row: Any) -> StudyRecord:
    return StudyRecord(
        id=row.id, name=row.name, spec=from_json(row.spec), seed=row.seed, created=row.created
    )

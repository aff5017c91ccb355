"""Statements on trials: adding them, and reading them back with their jobs and results."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.errors import StoreError
from archsmith.store import schema
from archsmith.store.encoding import decode_point, encode_point, from_json, point_hash, to_json
from archsmith.store.records import JobKind, JobRecord, JobState, StudyRecord, TrialRecord
from archsmith.store.studies import count_change
from archsmith.trial import Proposal, TrialState

_candidates = schema.candidates


def insert(
    connection: Connection,
    study_id: int,
    proposal: Proposal,
    *,
    number: int,
    state: TrialState,
    reason: str,
    static_metrics: Mapping[str, float],
    now: float,
) -> int:
    """Add a trial and return its row's id; the caller stamps it. Raises IntegrityError."""
    point_type, text = encode_point(proposal.architecture)
    values = {
        "study_id": study_id,
        "number": number,
        "hash": point_hash(text),
        "point_type": point_type,
        "architecture": text,
        "state": state.value,
        "strategy": proposal.strategy,
        "parents": to_json(list(proposal.parents)),
        "reason": reason,
        "note": proposal.note,
        "static_metrics": to_json(dict(static_metrics)),
        "eliminated_rung": None,
        "created": now,
        "revision": 0,
    }
    inserted = connection.execute(sa.insert(_candidates), values)
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


_ROW_ID = sa.select(_candidates.c.id).where(
    _candidates.c.study_id == sa.bindparam("study"), _candidates.c.number == sa.bindparam("trial")
)


def row_id(connection: Connection, study_id: int, number: int) -> int:
    """The row of a trial."""
    return int(connection.execute(_ROW_ID, {"study": study_id, "trial": number}).scalar_one())


_STAMP = (
    sa.update(_candidates)
    .where(_candidates.c.id == sa.bindparam("row"))
    .values(
        revision=sa.select(schema.studies.c.revision)
        .where(schema.studies.c.id == sa.bindparam("study"))
        .scalar_subquery()
    )
)


def stamp(connection: Connection, study_id: int, row: int, **values: Any) -> None:
    """Change a trial's row and make the change visible to readers of changes."""
    count_change(connection, study_id)
    connection.execute(_STAMP, {"row": row, "study": study_id, **values})


def known_hash(connection: Connection, study_id: int, point: Any) -> int | None:
    """The number of the trial that holds this point, if one does."""
    query = sa.select(_candidates.c.number).where(
        _candidates.c.study_id == study_id,
        _candidates.c.hash == point_hash(encode_point(point)[1]),
    )
    return connection.execute(query).scalar_one_or_none()


_concerned = schema.jobs.join(_candidates, _candidates.c.id == schema.jobs.c.candidate_id)
_HERE = (
    (_candidates.c.study_id == sa.bindparam("study"))
    & (_candidates.c.revision > sa.bindparam("since"))
    & (_candidates.c.number >= sa.bindparam("first"))
    & (_candidates.c.number <= sa.bindparam("last"))
)
_CHANGED = sa.select(_candidates).where(_HERE).order_by(_candidates.c.number)
_CHANGED_JOBS = (
    sa.select(schema.jobs, _candidates.c.number)
    .select_from(_concerned)
    .where(_HERE)
    .order_by(schema.jobs.c.id)
)
_CHANGED_METRICS = (
    sa.select(schema.metrics)
    .select_from(_concerned.join(schema.metrics))
    .where(_HERE)
    .order_by(schema.metrics.c.name)
)
_CHANGED_READINGS = (
    sa.select(schema.readings)
    .select_from(_concerned.join(schema.readings))
    .where(_HERE)
    .order_by(schema.readings.c.train_bytes, schema.readings.c.id)
)
_UNFINISHED_READINGS = _CHANGED_READINGS.where(_candidates.c.state == TrialState.PENDING.value)
_ALL = 2**31 - 1


def changed(
    connection: Connection,
    study: StudyRecord,
    *,
    since: int,
    curves: bool,
    number: int | None = None,
) -> tuple[int, list[TrialRecord]]:
    """Trials changed after revision `since`, by number, and the revision reached.

    Without `curves` only unfinished trials have theirs, as a strategy may ask for them.
    """
    where = {
        "study": study.id,
        "since": since,
        "first": 0 if number is None else number,
        "last": _ALL if number is None else number,
    }
    rows = connection.execute(_CHANGED, where).all()
    if not rows:
        return since, []
    jobs = _jobs(connection, study, where, curves=curves)
    found = [_record(row, tuple(jobs.get(row.id, ()))) for row in rows]
    return max(row.revision for row in rows), found


def select(connection: Connection, study: StudyRecord, number: int) -> TrialRecord:
    """One trial with its curves. Raises StoreError."""
    found = changed(connection, study, since=-1, curves=True, number=number)[1]
    if not found:
        raise StoreError(f"study '{study.name}' has no trial {number}")
    return found[0]


def _jobs(
    connection: Connection, study: StudyRecord, where: Mapping[str, int], *, curves: bool
) -> dict[int, list[JobRecord]]:
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    for row in connection.execute(_CHANGED_METRICS, where):
        metrics[row.job_id][row.name] = row.value
    readings: dict[int, list[tuple[int, float, str, float]]] = defaultdict(list)
    for row in connection.execute(_CHANGED_READINGS if curves else _UNFINISHED_READINGS, where):
        readings[row.job_id].append((row.train_bytes, row.seconds, row.name, row.value))
    jobs: dict[int, list[JobRecord]] = defaultdict(list)
    for row in connection.execute(_CHANGED_JOBS, where):
        curve = tuple(readings.get(row.id, ()))
        jobs[row.candidate_id].append(job_record(row, study.name, metrics.get(row.id, {}), curve))
    return jobs


def job_record(
    row: Any,
    study: str,
    metrics: Mapping[str, float],
    curve: tuple[tuple[int, float, str, float], ...] = (),
) -> JobRecord:
    """A row of `jobs` joined with its candidate's number, as a value."""
    return JobRecord(
        id=row.id,
        study=study,
        number=row.number,
        kind=JobKind(row.kind),
        rung=row.rung,
        fraction=row.fraction,
        train_bytes=row.train_bytes,
        seed=row.seed,
        label=row.label,
        state=JobState(row.state),
        owner=row.owner,
        lease_until=row.lease_until,
        attempt=row.attempt,
        losses=row.losses,
        options=from_json(row.options),
        checkpoint_in=row.checkpoint_in,
        checkpoint_out=row.checkpoint_out,
        error=row.error,
        details=from_json(row.details),
        created=row.created,
        started=row.started,
        finished=row.finished,
        cpu_seconds=row.cpu_seconds,
        wall_seconds=row.wall_seconds,
        threads=row.threads,
        metrics=dict(metrics),
        curve=curve,
    )


def _record(row: Any, jobs: tuple[JobRecord, ...]) -> TrialRecord:
    return TrialRecord(
        number=row.number,
        hash=row.hash,
        architecture=decode_point(row.point_type, row.architecture),
        state=TrialState(row.state),
        strategy=row.strategy,
        parents=tuple(from_json(row.parents)),
        reason=row.reason,
        note=row.note,
        static_metrics=from_json(row.static_metrics),
        eliminated_rung=row.eliminated_rung,
        created=row.created,
        jobs=jobs,
    )

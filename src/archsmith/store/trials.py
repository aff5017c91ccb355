"""Statements on trials: adding them, and reading them back with their jobs and results."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from archsmith.store import schema
from archsmith.store.encoding import decode_point, encode_point, from_json, point_hash, to_json
from archsmith.store.records import JobKind, JobRecord, JobState, StudyRecord, TrialRecord
from archsmith.store.studies import next_revision
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
    inserted = connection.execute(
        sa.insert(_candidates).values(
            study_id=study_id,
            number=number,
            hash=point_hash(text),
            point_type=point_type,
            architecture=text,
            state=state.value,
            strategy=proposal.strategy,
            parents=to_json(list(proposal.parents)),
            reason=reason,
            note=proposal.note,
            static_metrics=to_json(dict(static_metrics)),
            eliminated_rung=None,
            created=now,
            revision=0,
        )
    )
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


def row_id(connection: Connection, study_id: int, number: int) -> int:
    """The row of a trial."""
    query = sa.select(_candidates.c.id)
    query = query.where(_candidates.c.study_id == study_id, _candidates.c.number == number)
    return int(connection.execute(query).scalar_one())


def stamp(connection: Connection, study_id: int, row: int, **values: Any) -> None:
    """Change a trial's row and make the change visible to readers of changes."""
    revision = next_revision(connection, study_id)
    connection.execute(
        sa.update(_candidates).where(_candidates.c.id == row).values(revision=revision, **values)
    )


def known_hash(connection: Connection, study_id: int, point: Any) -> int | None:
    """The number of the trial that holds this point, if one does."""
    query = sa.select(_candidates.c.number).where(
        _candidates.c.study_id == study_id,
        _candidates.c.hash == point_hash(encode_point(point)[1]),
    )
    return connection.execute(query).scalar_one_or_none()


def changed(
    connection: Connection,
    study: StudyRecord,
    *,
    since: int,
    curves: bool,
    number: int | None = None,
) -> tuple[int, list[TrialRecord]]:
    """Trials changed after revision `since`, by number, and the revision reached."""
    here = (_candidates.c.study_id == study.id) & (_candidates.c.revision > since)
    if number is not None:
        here &= _candidates.c.number == number
    rows = connection.execute(
        sa.select(_candidates).where(here).order_by(_candidates.c.number)
    ).all()
    if not rows:
        return since, []
    jobs = _jobs(connection, study, here, curves=curves)
    found = [_record(row, tuple(jobs.get(row.id, ()))) for row in rows]
    return max(row.revision for row in rows), found


def _jobs(
    connection: Connection, study: StudyRecord, here: sa.ColumnElement[bool], *, curves: bool
) -> dict[int, list[JobRecord]]:
    concerned = schema.jobs.join(_candidates, _candidates.c.id == schema.jobs.c.candidate_id)
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    query = sa.select(schema.metrics).select_from(concerned.join(schema.metrics)).where(here)
    for row in connection.execute(query.order_by(schema.metrics.c.name)):
        metrics[row.job_id][row.name] = row.value
    readings: dict[int, list[tuple[int, float, str, float]]] = defaultdict(list)
    if curves:
        table = schema.readings
        query = sa.select(table).select_from(concerned.join(table)).where(here)
        for row in connection.execute(query.order_by(table.c.train_bytes, table.c.id)):
            readings[row.job_id].append((row.train_bytes, row.seconds, row.name, row.value))
    jobs: dict[int, list[JobRecord]] = defaultdict(list)
    query = sa.select(schema.jobs, _candidates.c.number).select_from(concerned).where(here)
    for row in connection.execute(query.order_by(schema.jobs.c.id)):
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

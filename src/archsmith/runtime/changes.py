"""Events from two states of a trial: what happened between, in the order it happened."""

from collections.abc import Iterator

from archsmith.runtime.events import (
    Eliminated,
    Event,
    Failed,
    Finished,
    Lost,
    Promoted,
    Proposed,
    Rejected,
    Started,
)
from archsmith.store.records import AUDIT, JobKind, JobRecord, JobState, TrialRecord
from archsmith.trial import TrialState


def announce(before: TrialRecord | None, now: TrialRecord) -> Iterator[Event]:
    """What to tell of a trial that was `before` (None: not there) and is `now`."""
    rejected = now.state is TrialState.REJECTED
    if before is None and not (rejected and not now.jobs):
        yield Proposed(number=now.number, architecture=now.architecture, strategy=now.strategy)
    old = {job.id: job for job in before.jobs} if before else {}
    for job in now.jobs:
        if job.id not in old and _is_promotion(job, now):
            yield Promoted(
                number=job.number,
                rung=job.rung,
                audit=bool(job.options.get(AUDIT)),
                from_scratch=not job.checkpoint_in,
            )
        yield from _job(old.get(job.id), job)
    if rejected and (before is None or before.state is not TrialState.REJECTED):
        yield Rejected(number=now.number, reason=now.reason)
    eliminated = now.eliminated_rung
    if eliminated is not None and (before is None or before.eliminated_rung != eliminated):
        yield Eliminated(number=now.number, rung=eliminated)


def _is_promotion(job: JobRecord, trial: TrialRecord) -> bool:
    """Whether a job goes on from a rung below; some rules begin trials higher than others."""
    ladder = (other for other in trial.jobs if other.kind is JobKind.RUNG)
    return job.kind is JobKind.RUNG and any(other.rung < job.rung for other in ladder)


def _job(before: JobRecord | None, now: JobRecord) -> Iterator[Event]:
    number, kind, rung = now.number, now.kind.value, now.rung
    if now.attempt > (before.attempt if before else 0):
        yield Started(number=number, kind=kind, rung=rung, attempt=now.attempt)
    if before is not None and before.state is now.state and before.losses == now.losses:
        return
    if now.state is JobState.DONE:
        yield Finished(
            number=number,
            kind=kind,
            rung=rung,
            metrics=now.metrics,
            wall_seconds=now.wall_seconds,
        )
    elif now.state is JobState.FAILED:
        reason = now.error.split("\n", 1)[0]
        yield Failed(number=number, kind=kind, rung=rung, reason=reason)
    elif now.losses > (before.losses if before else 0):
        yield Lost(number=number, kind=kind, rung=rung, reason=now.error.split("\n", 1)[0])

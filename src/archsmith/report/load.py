"""Read a study from a store into a `StudyReport`: the only file of the report that knows the store.

What the store does not keep as a row it keeps as a note: `arms` (a list of `trial.ArmResult`),
`corpus`, `environment`, `calibration`, `suggestion`, `floors` (name to bits per byte), `plan`
(phase to seconds), `verdict` (`primary_baseline` and `margin`, fixed beforehand, with `time`),
`test_opened` (a list of `time` and `what`), `finalists`, `repeats`, `supernet`, `phase`, `command`.
All are optional.

Details of an arm that have a place of their own, where they are there: `seed`, `role` (`maximizer`
marks the primary baseline), `split` (which held-out text), `epochs`, `train_bytes`,
`train_seconds`, `train_bits_per_byte`, `copied_share` (0 to 1). Metrics of those names do as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.errors import ArchsmithError
from archsmith.report.anytime import anytime_curves
from archsmith.report.finalists import read_finalists
from archsmith.report.spending import planned_seconds, spending
from archsmith.report.study_report import (
    ArmRow,
    CurvePoint,
    LimitRow,
    Opening,
    RungRow,
    RunningJob,
    StudyReport,
    TrialRow,
)
from archsmith.store import records
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.store.store import Store
from archsmith.trial import Limit, Rung

Notes = Mapping[str, Any]


def load_study(store: Store, name: str) -> StudyReport:
    """Everything the report shows of a study, as it stands now. Raises StoreError."""
    study, notes, trials = store.study(name), store.notes(name), store.trials(name)
    running, now = store.queue.running(name), store.clock()
    settings = study.spec
    rungs, objectives = _rungs(trials, settings), _objectives(settings)
    limits = tuple(_limit(limit) for limit in settings.get("limits", ()))
    audited, wrong = _audit(trials, objectives, rungs, settings, limits)
    summaries = {trial.number: _summary(trial.architecture) for trial in trials}
    arms = (*map(_arm, notes.get("arms", ())), *_floors(notes.get("floors", {})))
    entries = store.ledger(name)
    claims = _mapping(notes.get("verdict"))
    last = max((entry.created for entry in entries), default=study.created)
    environment = _mapping(notes.get("environment"))
    return StudyReport(
        name=study.name,
        phase=str(notes.get("phase") or _phase(trials, arms)),
        objectives=objectives,
        limits=limits,
        rungs=rungs,
        trials=tuple(_trial(trial, summaries[trial.number], limits) for trial in trials),
        running=tuple(_running(job, summaries.get(job.number, ""), rungs, now) for job in running),
        arms=arms,
        primary_baseline=primary_baseline(arms, claims),
        margin=float(claims.get("margin", 0.005)),
        seed=study.seed,
        created=datetime.fromtimestamp(study.created, UTC).isoformat(timespec="seconds"),
        elapsed_seconds=max(now if running else last, study.created) - study.created,
        budget_seconds=_mapping(settings.get("settings")).get("timeout"),
        ledger=spending(entries, trials, planned_seconds(notes.get("plan"))),
        corpus=_mapping(notes.get("corpus")),
        environment=environment,
        calibration=_mapping(notes.get("calibration")),
        suggestion=_mapping(notes.get("suggestion")),
        settings=settings,
        audited=audited,
        false_eliminations=wrong,
        command=str(notes.get("command") or environment.get("command") or ""),
        anytime=anytime_curves(trials, entries, arms),
        finalists=read_finalists(notes.get("finalists"), summaries),
        repeats=_mapping(notes.get("repeats")),
        supernet=_mapping(notes.get("supernet")),
        openings=_openings(notes.get("test_opened"), name),
        fixed=claims.get("time"),
        trained=min((job.started for t in trials for job in t.jobs if job.started), default=None),
    )


def primary_baseline(arms: Sequence[ArmRow], claims: Notes) -> str | None:
    """The arm of the primary comparison: as noted beforehand, else the parameter maximizer.

    The order of the arms stands in for the note where no arm says that it is the maximizer;
    scores never decide.
    """
    noted = claims.get("primary_baseline")
    if noted:
        return str(noted)
    baselines = [arm for arm in arms if arm.kind == "baseline"]
    for arm in baselines:
        if arm.details.get("role") in ("maximizer", "primary"):
            return arm.name
    for arm in baselines:
        if any(word in arm.name.lower() for word in ("maximizer", "largest")):
            return arm.name
    return baselines[0].name if baselines else None


def _openings(noted: Any, study: str) -> tuple[Opening, ...]:
    """Of the sealed test split, as the study noted them."""
    return tuple(
        Opening(float(one["time"]), str(one.get("what", "")), study)
        for one in noted or ()
        if isinstance(one, Mapping) and "time" in one
    )


def _phase(trials: Sequence[TrialRecord], arms: Sequence[ArmRow]) -> str:
    if any(arm.kind == "search" for arm in arms):
        return "done"
    if not trials:
        return "preparation"
    waiting = any(job.is_open for trial in trials for job in trial.jobs)
    return "search" if waiting else "search, nothing queued"


def _objectives(settings: Notes) -> tuple[str, ...]:
    return tuple(settings.get("objectives", ("bits_per_byte",)))


def _rungs(trials: Sequence[TrialRecord], settings: Notes) -> tuple[RungRow, ...]:
    """The ladder as planned, or as the jobs show it."""
    planned = settings.get("rungs")
    if planned:
        return tuple(RungRow(**rung) for rung in planned)
    jobs: dict[int, JobRecord] = {}
    for trial in trials:
        for job in trial.jobs:
            if job.kind is JobKind.RUNG and job.rung >= 0:
                jobs.setdefault(job.rung, job)
    return tuple(
        RungRow(index=rung, fraction=jobs[rung].fraction, train_bytes=jobs[rung].train_bytes)
        for rung in sorted(jobs)
    )


def _audit(
    trials: Sequence[TrialRecord],
    objectives: Sequence[str],
    rungs: Sequence[RungRow],
    settings: Notes,
    limits: Sequence[LimitRow],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Audited trials, and those that were falsely eliminated."""
    if not rungs or all(trial.audited_from is None for trial in trials):
        return (), ()
    # here, because it imports numpy: only an audit needs that
    from archsmith.halving.audits import audit
    from archsmith.halving.entries import Entry
    from archsmith.halving.settings import Halving

    entries = [
        Entry(
            number=trial.number,
            scores={
                rung: tuple(metrics[name] for name in objectives)
                for rung in range(trial.rung + 1)
                if all(name in (metrics := trial.metrics_at(rung)) for name in objectives)
            },
            feasible=all(
                limit.holds(trial.metrics[limit.metric])
                for limit in limits
                if limit.metric in trial.metrics
            ),
            seconds={
                rung: metrics["train_seconds"]
                for rung in range(trial.rung + 1)
                if "train_seconds" in (metrics := trial.metrics_at(rung))
            },
            audited_from=trial.audited_from,
        )
        for trial in trials
    ]
    found = audit(
        entries,
        rungs=[
            Rung(index=rung.index, fraction=rung.fraction, train_bytes=rung.train_bytes)
            for rung in rungs
        ],
        halving=Halving.model_validate(settings.get("halving", {})),
    )
    return found.audited, found.false_eliminations


def _trial(trial: TrialRecord, summary: str, limits: Sequence[LimitRow]) -> TrialRow:
    metrics = dict(trial.metrics)
    broken: tuple[str, ...] = ()
    if trial.state.value == "rejected":
        broken = tuple(
            limit.metric
            for limit in limits
            if limit.metric in metrics and not limit.holds(metrics[limit.metric])
        ) or tuple(limit.metric for limit in limits if limit.metric in trial.reason)
    done = {
        job.rung for job in trial.jobs if job.kind is JobKind.RUNG and job.state is JobState.DONE
    }
    return TrialRow(
        number=trial.number,
        state=trial.state.value,
        strategy=trial.strategy,
        reason=trial.reason,
        broken_limits=broken,
        parents=trial.parents,
        summary=summary,
        architecture=_architecture_json(trial.architecture),
        metrics=metrics,
        rung=trial.rung,
        rung_metrics={rung: dict(trial.metrics_at(rung)) for rung in sorted(done)},
        curve=tuple(
            CurvePoint(train_bytes, seconds, value)
            for train_bytes, seconds, metric, value in trial.curve
            if metric == "bits_per_byte"
        ),
        train_seconds=trial.train_seconds,
        tokens_per_second=_told(trial, "tokens_per_second"),
        expert_imbalance=_told(trial, "expert_imbalance"),
    )


def _told(trial: TrialRecord, name: str) -> float | None:
    """A number among the details of the highest rung that tells it."""
    jobs = sorted(trial.jobs, key=lambda job: job.rung, reverse=True)
    values = (job.details.get(name) for job in jobs if job.kind is JobKind.RUNG)
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def _running(
    job: records.RunningJob, summary: str, rungs: Sequence[RungRow], now: float
) -> RunningJob:
    seconds = max(now - job.started, 0.0)
    done = job.fraction_done if job.progress_at is not None else None
    return RunningJob(
        trial=job.number,
        summary=summary,
        rung=job.rung if job.rung >= 0 else None,
        fraction_done=done,
        train_bytes=job.train_bytes or None,
        bits_per_byte=job.metrics.get("bits_per_byte"),
        seconds=seconds,
        seconds_left=_seconds_left(job, rungs, seconds),
    )


def _seconds_left(
    job: records.RunningJob, rungs: Sequence[RungRow], seconds: float
) -> float | None:
    """At this job's own pace: a higher rung continues where the one below it ended."""
    targets = {rung.index: rung.train_bytes for rung in rungs}
    begun = 0 if job.kind is JobKind.REPEAT else targets.get(job.rung - 1, 0)
    target = targets.get(job.rung, 0)
    if target > 0 and job.train_bytes > begun:
        return max(target - job.train_bytes, 0) * seconds / (job.train_bytes - begun)
    if target == 0 and job.fraction_done > 0:
        return seconds * (1 - job.fraction_done) / job.fraction_done
    return None


def _arm(arm: Notes) -> ArmRow:
    """One `ArmResult` as JSON."""
    architecture, details = arm.get("architecture"), _mapping(arm.get("details"))
    seed = details.get("seed")
    found = _architecture(architecture)
    metrics = dict(_mapping(arm.get("metrics")))
    if found is not None:
        metrics.setdefault("num_params", float(found.num_params))
    return ArmRow(
        name=str(arm["name"]),
        kind=str(arm["kind"]),
        seed=seed if isinstance(seed, int) else None,
        trial=arm.get("trial"),
        summary=_summary(found if found is not None else architecture),
        architecture=architecture if isinstance(architecture, Mapping) else None,
        metrics=metrics,
        block_nats=tuple(arm.get("block_nats", ())),
        block_bytes=tuple(arm.get("block_bytes", ())),
        curve=tuple(CurvePoint(*point) for point in arm.get("curve", ())),
        samples=tuple((str(prompt), str(text)) for prompt, text in arm.get("samples", ())),
        details=details,
    )


def _floors(floors: Notes) -> Iterable[ArmRow]:
    for name, value in _mapping(floors).items():
        if isinstance(value, int | float):
            yield ArmRow(name=str(name), kind="floor", metrics={"bits_per_byte": float(value)})


def _limit(limit: Any) -> LimitRow:
    found = Limit.model_validate(limit)
    return LimitRow(found.metric, found.comparison, found.value)


def _architecture(data: Any) -> Architecture | None:
    """The architecture that JSON describes; None for anything else (a table's row, a plug-in)."""
    if not isinstance(data, Mapping) or "layers" not in data:
        return None
    try:
        return Architecture.model_validate(data)
    except (ValueError, ArchsmithError):
        return None


def _summary(point: Any) -> str:
    """One line about a point of any space."""
    if point is None:
        return ""
    return point.summary() if hasattr(point, "summary") else str(point)[:100]


def _architecture_json(point: Any) -> Mapping[str, Any] | None:
    return point.model_dump(mode="json") if isinstance(point, Architecture) else None


def _mapping(value: Any) -> Notes:
    """A note that should be an object; other values stand under one key."""
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"value": value}

"""Anytime curves: the best held-out bits per byte so far against all that was spent until then.

An arm's curve holds its search (every finished rung of every trial, failed and stopped work counted
in what was spent), then its final training. All readings are of the search-validation split by the
rungs' protocol, so they compare with each other along the way; the test split plays no part.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archsmith.report.study_report import AnytimeCurve, AnytimePoint, ArmRow
from archsmith.store.records import JobKind, JobRecord, JobState, LedgerEntry, TrialRecord

# phases of the ledger that are not the search arm's own
_OTHERS = ("baseline", "export", "floors", "prepare")


def anytime_curves(
    trials: Sequence[TrialRecord], entries: Sequence[LedgerEntry], arms: Sequence[ArmRow]
) -> tuple[AnytimeCurve, ...]:
    """One curve for the search with its winner, one for each baseline that has readings.

    Args:
        entries: the study's ledger, in order of time.
        arms: of the final comparison.
    """
    points, spent = _search(trials, entries)
    winner = next((arm for arm in arms if arm.kind == "search"), None)
    curves = []
    if winner is not None:
        trial = next((one for one in trials if one.number == winner.trial), None)
        points += _training(winner, spent, _trunk(trial))
    if points:
        name = winner.name if winner is not None else "search"
        curves.append(AnytimeCurve(arm=name, points=_best_so_far(points)))
    for arm in arms:
        own = _training(arm, _tuning(arm), (0.0, 0.0)) if arm.kind == "baseline" else []
        if own and arm.name not in {curve.arm for curve in curves}:
            curves.append(AnytimeCurve(arm=arm.name, points=_best_so_far(own)))
    return tuple(curves)


def job_flops(trials: Iterable[TrialRecord]) -> float:
    """Training FLOPs of all jobs, a trunk that was continued counted once."""
    return sum(_trial_flops(trial.jobs) for trial in trials)


def _is_own(entry: LedgerEntry) -> bool:
    return not entry.phase.startswith(_OTHERS)


def _seconds(entry: LedgerEntry) -> float:
    """CPU seconds; where they were not noted, seconds."""
    return entry.cpu_seconds if entry.cpu_seconds > 0 else entry.seconds


def _trial_flops(jobs: Iterable[JobRecord]) -> float:
    """Of its trunk, of each that was trained again, and of weights that others inherited too."""
    trunks: dict[int, list[JobRecord]] = {}
    for job in jobs:
        alone = job.kind is JobKind.REPEAT or job.is_inherited
        trunks.setdefault(job.id if alone else -1, []).append(job)
    return sum(map(_trunk_flops, trunks.values()))


def _trunk_flops(jobs: Iterable[JobRecord]) -> float:
    """What a job tells of its trunk holds what the rungs below it did; branches are beside it."""
    told = [job.details for job in jobs]
    trunk = max((float(details.get("flops", 0.0)) for details in told), default=0.0)
    return trunk + max((float(details.get("branch_flops", 0.0)) for details in told), default=0.0)


def _search(
    trials: Sequence[TrialRecord], entries: Sequence[LedgerEntry]
) -> tuple[list[AnytimePoint], tuple[float, float]]:
    """Readings of the finished rungs, and what the search had spent in the end."""
    finished = {
        (job.number, f"rung {job.rung}"): job
        for trial in trials
        for job in trial.jobs
        if job.kind is JobKind.RUNG and job.state is JobState.DONE
    }
    points: list[AnytimePoint] = []
    known: dict[int, list[JobRecord]] = {}
    seconds = flops = calibration = 0.0
    for entry in entries:
        if not _is_own(entry) or entry.phase == "final training":
            continue
        seconds += _seconds(entry)
        if entry.number is None:
            calibration += entry.flops
            continue
        job = finished.get((entry.number, entry.phase))
        if job is None or job.finished is None or entry.created < job.finished:
            continue  # an attempt that was lost or stopped: spent, without a score
        before = _trial_flops(known.get(entry.number, ()))
        known.setdefault(entry.number, []).append(job)
        flops += _trial_flops(known[entry.number]) - before
        if "bits_per_byte" in job.metrics:
            points.append(AnytimePoint(seconds, calibration + flops, job.metrics["bits_per_byte"]))
    return points, (seconds, calibration + job_flops(trials))


def _training(
    arm: ArmRow, spent: tuple[float, float], trunk: tuple[float, float]
) -> list[AnytimePoint]:
    """Readings of an arm's final training, after `spent`; its trunk had begun before."""
    threads = arm.number("num_threads") or 1.0
    total_flops, total_bytes = arm.number("train_flops") or 0.0, arm.number("train_bytes") or 0.0
    per_byte = total_flops / total_bytes if total_bytes else 0.0
    return [
        AnytimePoint(
            spent[0] + max(point.seconds - trunk[0], 0.0) * threads,
            spent[1] + max(point.train_bytes * per_byte - trunk[1], 0.0),
            point.bits_per_byte,
        )
        for point in arm.curve
    ]


def _tuning(arm: ArmRow) -> tuple[float, float]:
    """CPU seconds and FLOPs of what a one-shot arm tried before its training, beside the trunk that
    went on, whose readings hold its own."""
    tuning = arm.details.get("tuning")
    if not isinstance(tuning, Mapping):
        return 0.0, 0.0
    threads = arm.number("num_threads") or 1.0
    return float(tuning.get("seconds", 0.0)) * threads, float(tuning.get("flops", 0.0))


def _trunk(trial: TrialRecord | None) -> tuple[float, float]:
    """Seconds and FLOPs of the trunk that the final training continued."""
    if trial is None:
        return 0.0, 0.0
    done = [job for job in trial.jobs if job.state is JobState.DONE and not job.is_inherited]
    rungs = [job for job in done if job.kind is JobKind.RUNG]
    if not rungs:  # what was scored with inherited weights began from scratch beside the ladder
        rungs = [job for job in done if job.kind is JobKind.EXTEND]
    details: Any = max(rungs, key=lambda job: (job.rung, job.train_bytes)).details if rungs else {}
    return float(details.get("trunk_seconds", 0.0)), float(details.get("flops", 0.0))


def _best_so_far(points: Sequence[AnytimePoint]) -> tuple[AnytimePoint, ...]:
    """The points at which the best reading improved, and the last one spent."""
    kept: list[AnytimePoint] = []
    for point in sorted(points):
        if not kept or point.bits_per_byte < kept[-1].bits_per_byte:
            kept.append(point)
    last = max(points)
    if last.cpu_seconds > kept[-1].cpu_seconds:
        kept.append(last._replace(bits_per_byte=kept[-1].bits_per_byte))
    return tuple(kept)

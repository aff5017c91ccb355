"""The ledger of a study by phase, beside what the plan had set aside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archsmith.report.study_report import Spending
from archsmith.store.records import JobKind, JobState, LedgerEntry, TrialRecord


def spending(
    entries: Sequence[LedgerEntry], trials: Sequence[TrialRecord], planned: Mapping[str, float]
) -> tuple[Spending, ...]:
    """The ledger by phase, in order of first entry; jobs of all rungs are one phase, `search`.

    A planned phase belongs to the spent one whose name shares a word's first five letters.
    """
    rows: dict[str, Spending] = {}
    for entry in entries:
        phase = _job_phase(entry.phase)
        row = rows.get(phase, Spending(phase=phase))
        rows[phase] = replace(
            row, seconds=row.seconds + entry.seconds, flops=row.flops + entry.flops
        )
    for job in (job for trial in trials for job in trial.jobs if job.wall_seconds > 0):
        phase = _job_phase(job.kind.value)
        row = rows.get(phase, Spending(phase=phase))
        failed = job.state is JobState.FAILED
        rows[phase] = replace(
            row,
            jobs=row.jobs + 1,
            failed_jobs=row.failed_jobs + failed,
            failed_seconds=row.failed_seconds + failed * job.wall_seconds,
        )
    for phase, seconds in planned.items():
        known = [name for name in rows if rows[name].planned_seconds is None]
        same = [name for name in known if name == phase] or [
            name for name in known if _stems(name) & _stems(phase)
        ]
        name = same[0] if same else phase
        rows[name] = replace(rows.get(name, Spending(phase=name)), planned_seconds=seconds)
    return tuple(rows.values())


def _job_phase(phase: str) -> str:
    """The report's name for a phase that the store names after a job's kind and rung."""
    first = phase.split(" ")[0]
    names = {
        JobKind.RUNG.value: "search",
        JobKind.MEASURE.value: "measuring on the device",
        JobKind.EXTEND.value: "extending trunks",
        JobKind.REPEAT.value: "finalists again",
    }
    return (
        names.get(first, phase)
        if phase in names or phase[len(first) :].strip().isdigit()
        else phase
    )


def _stems(phase: str) -> set[str]:
    words = phase.lower().replace("_", " ").split()
    return {word[:5] for word in words if len(word) >= 5} - {"final"}


def planned_seconds(plan: Any) -> dict[str, float]:
    """Seconds by phase from a mapping or pairs; `total_seconds` is no phase."""
    pairs: Iterable[Any] = plan.items() if isinstance(plan, Mapping) else plan or ()
    found = {}
    for phase, seconds in pairs:
        name = str(phase).removesuffix("_seconds").replace("_", " ")
        if name != "total" and isinstance(seconds, int | float):
            found[name] = float(seconds)
    return found

"""Several objectives among the finalists of a study: their values, and who of them none dominates.

Nothing of it is stored: a finalist's bits per byte are those predicted from the score of its file,
its errors on tasks are the file's, and what needs no training its trial knows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from archsmith.report.study_report import FinalistRow, StudyReport

_LOSS = "bits_per_byte"


def finalist_objectives(report: StudyReport) -> dict[int, dict[str, float]]:
    """By trial, the objectives that are known of each finalist; empty with one objective."""
    names = _names(report)
    if not names:
        return {}
    metrics = {trial.number: trial.metrics for trial in report.trials}
    return {row.trial: _values(row, names, metrics.get(row.trial, {})) for row in report.finalists}


def finalists_front(report: StudyReport) -> tuple[int, ...] | None:
    """Trials on the front among the finalists whose files were scored, the winner first; None with
    one objective, or where fewer than two can be compared."""
    names = _names(report)
    known = finalist_objectives(report)
    scored = {
        row.trial: [known[row.trial][name] for name in names]
        for row in report.finalists
        if names and row.runs and all(name in known[row.trial] for name in names)
    }
    if len(scored) < 2:
        return None
    return tuple(
        trial
        for trial, values in scored.items()
        if not any(_dominates(other, values) for other in scored.values())
    )


def front_sentence(report: StudyReport) -> str:
    """Who stands on the front, and that the best by the loss is handed over; empty where there is
    none to tell."""
    front = finalists_front(report)
    if front is None:
        return ""
    trials = f"trial{'s' if len(front) > 1 else ''} {', '.join(map(str, front))}"
    objectives = " and ".join(_names(report))
    return (
        f"On the front of {objectives} among the finalists: {trials}; handed over is the "
        f"best by {_deciding(report)}, trial {report.finalists[0].trial}."
    )


def _names(report: StudyReport) -> tuple[str, ...]:
    """The objectives of a study that has several, as its search file has them."""
    if len(report.objectives) < 2:
        return ()
    settings: Any = report.settings.get("settings") or {}
    return tuple(settings.get("objectives") or report.objectives)


def _deciding(report: StudyReport) -> str:
    """What the winner is chosen by."""
    return "errors on tasks" if report.finalists[0].task_errors else "bits per byte"


def _values(
    row: FinalistRow, names: Sequence[str], metrics: Mapping[str, float]
) -> dict[str, float]:
    known = {**metrics, **row.task_errors, _LOSS: row.predicted_bits_per_byte}
    return {name: float(known[name]) for name in names if name in known}


def _dominates(values: Sequence[float], others: Sequence[float]) -> bool:
    """Whether they are nowhere worse, and somewhere better."""
    pairs = list(zip(values, others, strict=True))
    return all(one <= other for one, other in pairs) and any(one < other for one, other in pairs)

"""What a study's page, terminal view and JSON add to the verdict: when the comparison was fixed,
when the sealed test was opened, what was reached when, what each group of choices contributed."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from archsmith.report.certificate_words import opening_remarks, show_time
from archsmith.report.contribution_words import group_cells
from archsmith.report.contributions import Contributions, contributions
from archsmith.report.study_report import StudyReport


def certificate_facts(report: StudyReport) -> dict[str, Any]:
    """Sentences (`lines`) and the rows of the table of groups (`groups`)."""
    found = _contributions(_Key(report))
    lines = [_fixed(report), *opening_remarks(report.openings)]
    if any(trial.rung >= 0 for trial in report.trials):
        lines.append(found.sentence)
    return {"lines": [line for line in lines if line], "groups": group_cells(found)}


def certificate_json(report: StudyReport) -> dict[str, Any]:
    """The same for machines; see `as_json`."""
    found = asdict(_contributions(_Key(report)))
    return {
        "anytime": [
            {"arm": curve.arm, "points": [list(point) for point in curve.points]}
            for curve in report.anytime
        ],
        "contributions": {**found, "groups": list(found["groups"])},
        "test_openings": [{"time": one.time, "what": one.what} for one in report.openings],
    }


def _fixed(report: StudyReport) -> str:
    """When the primary comparison was noted, against the first training."""
    if report.fixed is None or not report.primary_baseline:
        return ""
    late = report.trained is not None and report.trained < report.fixed
    when = "after the first training had begun" if late else "before any training"
    return (
        f"The primary comparison (against the {report.primary_baseline}) and the margin of "
        f"{report.margin:g} were fixed {show_time(report.fixed)}, {when}."
    )


class _Key:
    """A report by its identity: the same object is computed once for all views."""

    def __init__(self, report: StudyReport) -> None:
        self.report = report

    def __hash__(self) -> int:
        return id(self.report)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.report is self.report


@lru_cache(maxsize=2)
def _contributions(key: _Key) -> Contributions:
    return contributions(key.report)

"""What a study's page, terminal view and JSON add to the verdict: when the comparison was fixed,
when the sealed test was opened, what was reached when, what each group of choices contributed."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from archsmith.report.certificate_words import opening_remarks, show_time
from archsmith.report.contributions import Contribution, Contributions, contributions
from archsmith.report.figures import NONE, show_difference, show_span
from archsmith.report.study_report import StudyReport


def certificate_facts(report: StudyReport) -> dict[str, Any]:
    """Sentences (`lines`) and the rows of the table of groups (`groups`)."""
    found = _contributions(_Key(report))
    lines = [_fixed(report), *opening_remarks(report.openings)]
    if any(trial.rung >= 0 for trial in report.trials):
        lines.append(found.sentence)
    rows = [] if found.reason else [_row(one) for one in found.groups]
    return {"lines": [line for line in lines if line], "groups": rows}


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


def _row(one: Contribution) -> Mapping[str, str]:
    if not one.varied:
        return {
            "group": one.group, "share": "not varied", "span": "", "alone": NONE, "gain": NONE,
            "gain_span": "",
        }  # fmt: skip
    gain_span = ""
    if one.gain_low is not None and one.gain_high is not None:
        gain_span = show_span(one.gain_low, one.gain_high, signed=True)
    return {
        "group": one.group,
        "share": f"{one.share:.0%}" if one.told else "cannot be told",
        "span": f"[{one.share_low:.0%}, {one.share_high:.0%}]",
        "alone": f"{max(one.alone, 0):.0%}",
        "gain": NONE if one.gain is None else show_difference(one.gain),
        "gain_span": gain_span,
    }


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

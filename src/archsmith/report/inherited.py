"""What a report says where the scores of a search are inherited from shared weights."""

from collections.abc import Mapping
from typing import Any

from archsmith.report.figures import plural
from archsmith.report.study_report import StudyReport
from archsmith.units import format_bytes, format_seconds


def inherited_sentence(report: StudyReport) -> str:
    """Where the scores come from, and what chose the winner; empty for a search that trained."""
    noted = report.supernet
    if not noted:
        return ""
    planned = noted["planned"]
    plan, trained = planned["plan"], _mapping(noted.get("trained"))
    seconds = trained.get("train_seconds")
    took = f" in {format_seconds(float(seconds))}" if seconds is not None else ""
    return (
        "Scores of the search are inherited from one supernet (method "
        f"{plan['method']}, {planned['num_members']:,} networks in {planned['largest']}, "
        f"trained on {format_bytes(trained.get('train_bytes', plan['train_bytes']))} of text"
        f"{took}): they rank networks, and are not what these reach when trained alone."
        f"{_chosen(_mapping(noted.get('finalists')))}"
    )


def _chosen(finalists: Mapping[str, Any]) -> str:
    """What chose the winner; empty before that."""
    if "trained" not in finalists:
        return ""
    count = int(finalists["trained"])
    if not count:
        return (
            " The winner has the best inherited score; no finalist was trained from scratch: "
            f"{finalists['reason']}."
        )
    return (
        f" The winner was chosen among {plural(count, 'finalist')} trained from scratch, on "
        f"{format_bytes(finalists['train_bytes'])} of text each, by the selection split."
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""What two arms cost, and what may be claimed of it: nothing that the search alone paid more for.

The currency that counts is CPU seconds where both arms told them, else FLOPs. At most 5 % more than
the rival is equal cost; less is no objection. FLOPs are always told beside CPU seconds.
"""

import math

from archsmith.report.comparison import Outcome
from archsmith.report.study_report import ArmRow, StudyReport

EQUAL_COST = 0.05  # what costs may differ by and still count as equal
DIFFER, NOT_KNOWN = "costs differ", "costs not known"
RULE = (
    "A search may claim only what it reached at no more than its rival's cost: CPU seconds where "
    f"both are known, else FLOPs; {EQUAL_COST:.0%} more counts as equal."
).replace("%", " %")


def arm_cost(study: StudyReport, row: ArmRow) -> tuple[float, float]:
    """CPU seconds and FLOPs of all that an arm took; 0 where it is not known."""
    spent = study.spent(row.name)
    if spent is not None:
        return spent.cpu_seconds, spent.flops
    if row.kind == "search" or "tuning" in row.details:  # the training alone is not all of it
        return 0.0, 0.0
    threads = row.number("num_threads") or 1.0
    return (row.number("train_seconds") or 0.0) * threads, row.number("train_flops") or 0.0


def cost_ratios(study: StudyReport, ours: ArmRow, theirs: ArmRow) -> tuple[float, float]:
    """CPU seconds and FLOPs of an arm as multiples of another's; not a number where not known."""
    cpu, flops = zip(arm_cost(study, ours), arm_cost(study, theirs), strict=True)
    return _ratio(*cpu), _ratio(*flops)


def _ratio(own: float, other: float) -> float:
    return own / other if own > 0 and other > 0 else math.nan


def at_equal_cost(outcome: Outcome, cpu_ratio: float, flops_ratio: float) -> tuple[Outcome, str]:
    """What may be said with scores that allow `outcome`, and why it is less where it is less.

    A search that spent more, or nobody knows what, neither beats nor ties. That it lost stands.
    """
    objection = _objection(flops_ratio if math.isnan(cpu_ratio) else cpu_ratio)
    if objection and outcome in (Outcome.BEAT, Outcome.TIED):
        return Outcome.UNDECIDED, objection
    return outcome, ""


def _objection(ratio: float) -> str:
    if math.isnan(ratio):
        return NOT_KNOWN
    return DIFFER if ratio > 1 + EQUAL_COST else ""


def costs_differ(ratio: float) -> bool:
    """Whether a known ratio, of either currency, is not that of equal costs."""
    return ratio > 1 + EQUAL_COST or ratio < 1 - EQUAL_COST


def ratio_words(cpu_ratio: float, flops_ratio: float, *, whose: str = "its") -> str:
    """Both ratios, always."""
    if math.isnan(cpu_ratio) and math.isnan(flops_ratio):
        return "cost not known"
    told = [
        f"{whose} {what} not known" if math.isnan(ratio) else f"{ratio:.2f} times {whose} {what}"
        for ratio, what in ((cpu_ratio, "CPU seconds"), (flops_ratio, "FLOPs"))
    ]
    return f"at {' and '.join(told)}"

"""What a worker tells of a job, held against what may be entered: numbers that are finite, details
that JSON can hold, and FLOPs that were not entered before."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from archsmith.store.encoding import to_json

Curve = Iterable[tuple[int, float, str, float]]  # (train_bytes, seconds, metric, value)


def refusal(metrics: Mapping[str, float], details: Mapping[str, Any]) -> str:
    """Why a result cannot be entered, as a reason of failure; empty if it can."""
    bad = ", ".join(
        f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)
    )
    if bad:
        return f"not a finite number: {bad}"
    try:
        to_json(details)
    except (TypeError, ValueError) as error:
        return f"details are not JSON values: {error}"
    return ""


def finite_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are finite numbers."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def finite_points(curve: Curve) -> list[tuple[int, float, str, float]]:
    """The points of a curve whose value is a finite number."""
    return [point for point in curve if math.isfinite(point[3])]


def told_flops(details: Mapping[str, Any]) -> float:
    """Training FLOPs of a trunk from its start on, and of its cooled-down branches."""
    return float(details.get("flops", 0.0)) + float(details.get("branch_flops", 0.0))

"""How far training went, how fast, and what the arms reach at equal bytes of text.

At equal seconds and short horizons a comparison rewards shallow, wide networks: they read more text
in the time. So the horizon is always told, throughput stands beside it, and arms that read
different amounts of text are also compared where each had read as much.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

from archsmith.device.spread import TIE, Spread, tied
from archsmith.report.figures import show_rate
from archsmith.report.inherited import inherited_sentence
from archsmith.report.study_report import ArmRow, CurvePoint, StudyReport, TrialRow
from archsmith.units import format_bytes, format_seconds

_SAME = 1.02  # amounts of text within so much of each other count as equal


class Horizon(NamedTuple):
    """How far the trained arms went, the least and the most of them; bytes of text, seconds."""

    train_bytes: tuple[float, float] | None
    train_seconds: tuple[float, float] | None

    @property
    def equal_bytes(self) -> bool:
        """Whether all read as much text."""
        return self.train_bytes is None or self.train_bytes[1] <= self.train_bytes[0] * _SAME


class EqualBytes(NamedTuple):
    """What each arm had reached after `train_bytes` bytes of text, before any cooldown.

    Attributes:
        rows: (arm, held-out bits per byte, seconds of training until then), in order of the arms.
    """

    train_bytes: int
    rows: tuple[tuple[str, float, float], ...]


def horizon(report: StudyReport) -> Horizon | None:
    """Of the finished arms; None where none was trained."""
    arms = [arm for arm in report.arms if arm.kind != "floor"]
    found = {
        name: [value for arm in arms if (value := arm.number(name)) is not None]
        for name in ("train_bytes", "train_seconds")
    }
    if not any(found.values()):
        return None
    spans = [(min(values), max(values)) if values else None for values in found.values()]
    return Horizon(*spans)


def horizon_sentence(report: StudyReport) -> str:
    """How far training went, in words, and where scores are inherited; empty before training."""
    found = horizon(report)
    if found is None:
        return inherited_sentence(report) or _rung_sentence(report)
    parts = []
    if found.train_bytes is not None:
        parts.append(f"on {_span(found.train_bytes, format_bytes)} of text")
    if found.train_seconds is not None:
        parts.append(f"for {_span(found.train_seconds, format_seconds)}")
    text = f"Horizon: every arm was trained {' '.join(parts)}."
    if not found.equal_bytes:
        text += (
            " The arms read different amounts of text in their time, which at short horizons "
            "favours shallow, wide networks"
        )
        text += ": see them at equal bytes as well." if equal_bytes(report) else "."
    return f"{text} {inherited_sentence(report)}".rstrip()


def equal_bytes(report: StudyReport) -> EqualBytes | None:
    """The arms at the largest number of bytes that all have read, from their curves.

    Interpolated between held-out readings, linearly in the logarithm of bytes; the last reading of
    a curve is cooled down and plays no part. None where the arms read as much, or fewer than two
    have readings that meet.
    """
    found = horizon(report)
    if found is None or found.equal_bytes:
        return None
    curves: dict[str, list[list[CurvePoint]]] = {}
    for arm in report.arms:
        readings = _trunk_readings(arm)
        if arm.kind != "floor" and readings:
            curves.setdefault(arm.name, []).append(readings)
    if len(curves) < 2:
        return None
    every = [readings for of_arm in curves.values() for readings in of_arm]
    meeting = min(readings[-1].train_bytes for readings in every)
    if meeting < max(readings[0].train_bytes for readings in every):
        return None
    rows = []
    for name, of_arm in curves.items():
        points = [_at(readings, meeting) for readings in of_arm]
        bits, seconds = (fmean(values) for values in zip(*points, strict=True))
        rows.append((name, bits, seconds))
    return EqualBytes(meeting, tuple(rows))


def tokens_per_second(row: ArmRow | TrialRow) -> float | None:
    """Training throughput; None where it was not noted."""
    return row.number("tokens_per_second") if isinstance(row, ArmRow) else row.tokens_per_second


def throughput_cell(row: ArmRow | TrialRow) -> str:
    """Training throughput for a table."""
    return show_rate(tokens_per_second(row))


def latency_ties(arms: Sequence[ArmRow]) -> dict[str, str]:
    """The mark of each arm whose milliseconds repeats cannot tell from another's, by name."""
    spreads = [_latency(arm) for arm in arms]
    return {arm.name: TIE for arm, same in zip(arms, tied(spreads), strict=True) if same}


def predicted_for(report: StudyReport) -> str | None:
    """The machine that milliseconds are predicted for; None where they were measured."""
    for arm in report.arms:
        if named := arm.details.get("decode_ms_predicted_for"):
            return str(named)
    own = report.settings.get("settings")
    device = own.get("device") if isinstance(own, Mapping) else None
    target = device.get("target") if isinstance(device, Mapping) else None
    return None if target is None else f"the device of {target}"


def prediction_sentence(report: StudyReport) -> str:
    """What to know of milliseconds that were not measured; empty where they were."""
    named = predicted_for(report)
    if named is None:
        return ""
    return (
        f"Milliseconds are predicted for {named}, not measured there: measured here, and scaled by "
        "both machines' memory bandwidth and matrix products."
    )


def horizon_json(report: StudyReport) -> dict[str, Any]:
    """The horizon and the comparison at equal bytes as JSON values."""
    found, meeting = horizon(report), equal_bytes(report)
    return {
        "sentence": horizon_sentence(report),
        "train_bytes": None if found is None else found.train_bytes,
        "train_seconds": None if found is None else found.train_seconds,
        "equal_bytes": None
        if meeting is None
        else {
            "train_bytes": meeting.train_bytes,
            "arms": [
                {"name": name, "bits_per_byte": bits, "train_seconds": seconds}
                for name, bits, seconds in meeting.rows
            ],
        },
    }


def _latency(arm: ArmRow) -> Spread | None:
    figures = [
        arm.number(name) for name in ("decode_ms_min", "decode_ms_per_token", "decode_ms_max")
    ]
    low, middle, high = figures
    if low is None or middle is None or high is None:
        return None
    return Spread(low, middle, high)


def _rung_sentence(report: StudyReport) -> str:
    highest = max((trial.rung for trial in report.trials), default=-1)
    sizes = {rung.index: rung.train_bytes for rung in report.rungs}
    if not sizes.get(highest):
        return ""
    return (
        f"Horizon: trials of rung {highest}, the highest reached, were trained on "
        f"{format_bytes(sizes[highest])} of text each; trials of one rung read as much."
    )


def _span(ends: tuple[float, float], show: Any) -> str:
    low, high = (str(show(end)) for end in ends)
    return low if low == high else f"{low} to {high}"


def _trunk_readings(arm: ArmRow) -> list[CurvePoint]:
    """Readings at the constant rate, by bytes; of two at the same place the later."""
    by_bytes = {point.train_bytes: point for point in arm.curve[:-1] if point.train_bytes > 0}
    return [by_bytes[size] for size in sorted(by_bytes)]


def _at(readings: Sequence[CurvePoint], train_bytes: int) -> tuple[float, float]:
    """(bits per byte, seconds) after so many bytes; the readings reach from below to above it."""
    for before, after in pairwise(readings):
        if before.train_bytes <= train_bytes <= after.train_bytes:
            whole = math.log(after.train_bytes / before.train_bytes)
            share = math.log(train_bytes / before.train_bytes) / whole
            bits = before.bits_per_byte + share * (after.bits_per_byte - before.bits_per_byte)
            part = (train_bytes - before.train_bytes) / (after.train_bytes - before.train_bytes)
            return bits, before.seconds + part * (after.seconds - before.seconds)
    last = readings[-1]
    return last.bits_per_byte, last.seconds

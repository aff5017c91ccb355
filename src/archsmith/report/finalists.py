"""The finalists of a search: what each training of them scored, and what that decided."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from archsmith.report.figures import NONE, plural, show
from archsmith.report.finalists_front import (
    finalist_objectives,
    finalists_front,
    front_sentence,
)
from archsmith.report.study_report import FinalistRow, RunRow, StudyReport

TITLES = ("trial", "rung", "seeds", "other rates", "score", "predicted")


def read_finalists(noted: Any, summaries: Mapping[int, str]) -> tuple[FinalistRow, ...]:
    """The rows of a study's note, the winner first. Earlier versions noted no trainings."""
    return tuple(
        FinalistRow(
            trial=int(one["trial"]),
            summary=summaries.get(int(one["trial"]), ""),
            rung=int(one["rung"]),
            bits_per_byte=float(one["selection_bits_per_byte"]),
            predicted_bits_per_byte=float(one["predicted_bits_per_byte"]),
            half_width=float(one["half_width"]),
            cooled=bool(one["cooled"]),
            rate_factor=float(one.get("rate_factor", 1.0)),
            runs=tuple(map(_run, one.get("runs", ()))),
            task_errors=dict(one.get("task_errors", {})),
        )
        for one in noted or ()
    )


def _run(noted: Mapping[str, Any]) -> RunRow:
    return RunRow(
        seed=int(noted["seed"]),
        rate_factor=float(noted["rate_factor"]),
        bits_per_byte=noted["selection_bits_per_byte"],
        reason=str(noted.get("reason", "")),
    )


def finalists_sentence(report: StudyReport) -> str:
    """Who stands on the front of several objectives; what was trained again and what came of it, or
    why nothing was; empty where not told."""
    return " ".join(filter(None, (front_sentence(report), _repeats_sentence(report))))


def _repeats_sentence(report: StudyReport) -> str:
    repeats, finalists = report.repeats, report.finalists
    if not finalists or not repeats:
        return ""
    again = [one for one in finalists if len(one.runs) > 1]
    if not again:
        reason = repeats.get("reason")
        return f"Finalists were trained once: {reason}." if reason else ""
    parts = [f"{plural(len(again), 'finalist')} trained again from the beginning"]
    most = max(len(one.seed_scores) for one in again)
    if most > 1:
        parts.append(f"up to {most} seeds, whose mean decides")
    noise = repeats.get("seed_noise")
    if isinstance(noise, float):
        parts.append(f"one training's standard deviation over seeds: {noise:.4f} bits per byte")
    factor = finalists[0].rate_factor
    if any(run.rate_factor != 1.0 for one in again for run in one.runs):
        parts.append(
            "no other learning rate gained more than chance"
            if factor == 1.0
            else f"the final training has {factor:g} times the recipe's learning rates"
        )
    return "; ".join(parts) + "."


def finalist_cells(row: FinalistRow) -> tuple[str, ...]:
    """A finalist under TITLES."""
    seeds = _listed(run for run in row.runs if run.rate_factor == 1.0)
    rates = _listed((run for run in row.runs if run.rate_factor != 1.0), named=True)
    half = f" \u00b1 {row.half_width:.4f}" if row.half_width else ""
    return (
        str(row.trial),
        str(row.rung),
        seeds or show("bits_per_byte", row.bits_per_byte),
        rates or NONE,
        show("bits_per_byte", row.bits_per_byte),
        show("bits_per_byte", row.predicted_bits_per_byte) + half,
    )


def _listed(runs: Iterable[RunRow], *, named: bool = False) -> str:
    return ", ".join(
        (f"x{run.rate_factor:g}: " if named else "")
        + ("failed" if run.bits_per_byte is None else show("bits_per_byte", run.bits_per_byte))
        for run in runs
    )


def finalists_json(report: StudyReport) -> dict[str, Any]:
    """`finalists`, the winner first, and `repeats`.

    With several objectives each finalist has its `objectives`, bits per byte as predicted, and
    whether it is `on_front`; with one, none and null.
    """
    objectives, front = finalist_objectives(report), finalists_front(report)
    return {
        "finalists": [
            {
                "trial": row.trial,
                "rung": row.rung,
                "bits_per_byte": row.bits_per_byte,
                "predicted_bits_per_byte": row.predicted_bits_per_byte,
                "half_width": row.half_width,
                "cooled": row.cooled,
                "rate_factor": row.rate_factor,
                "seed_mean": fmean(row.seed_scores) if row.seed_scores else None,
                "seed_spread": max(row.seed_scores) - min(row.seed_scores)
                if len(row.seed_scores) > 1
                else None,
                "task_errors": dict(row.task_errors),
                "objectives": objectives.get(row.trial, {}),
                "on_front": None if front is None else row.trial in front,
                "runs": [run._asdict() for run in row.runs],
            }
            for row in report.finalists
        ],
        "repeats": {
            "planned": len(report.repeats.get("planned", ())),
            "room_seconds": report.repeats.get("room_seconds"),
            "reason": report.repeats.get("reason", ""),
            "seed_noise": report.repeats.get("seed_noise"),
        },
    }

"""Both views of a study as one plain dictionary, for machines. Keys stay; new ones may be added.

    {
      "version": 1,
      "study": {"name", "phase", "seed", "created", "objectives": [...], "margin",
                "primary_baseline", "elapsed_seconds", "budget_seconds", "command",
                "limits": [{"metric", "comparison", "value"}],
                "rungs": [{"index", "fraction", "train_bytes"}]},
      "trials": {"complete": n, "pending": n, "failed": n, "rejected": n},
      "rejections": {limit or reason: n},          "failures": {reason: n},
      "running": [{"trial", "summary", "rung", "fraction_done", "train_bytes", "bits_per_byte",
                   "seconds", "seconds_left"}],
      "audit": {"audited": [number], "false_eliminations": [number]},
      "best": [trial],                             # the highest rung first, at most ten
      "spending": {"phases": [{"phase", "seconds", "flops", "jobs", "failed_jobs",
                   "failed_seconds", "planned_seconds"}], "total": {the same}}
    }

`report_json` adds

      "verdict": {"outcome", "sentence", "caveat", "margin", "primary": comparison or null,
                  "secondary": [comparison]},
      "recommended": arm or null,
      "anytime": [{"arm", "points": [[cpu_seconds, flops, bits_per_byte]]}],
      "contributions": {"reason", "rung", "num_trials", "num_studies", "spread", "r2", "r2_low",
                        "r2_high", "groups": [{"group", "varied", "share", "share_low",
                        "share_high", "alone", "gain", "gain_low", "gain_high"}]},
      "test_openings": [{"time", "what"}],
      "horizon": {"sentence", "train_bytes": [least, most] or null, "train_seconds": likewise,
                  "equal_bytes": {"train_bytes", "arms": [{"name", "bits_per_byte",
                  "train_seconds"}]} or null},
      "latency": {"predicted_for": machine or null},     # null: milliseconds are measured
      "finalists": [{"trial", "rung", "bits_per_byte", "predicted_bits_per_byte", "half_width",
                     "cooled", "rate_factor", "seed_mean", "seed_spread", "task_errors",
                     "objectives": {name: value}, "on_front": whether, or null with one objective,
                     "runs": [{"seed", "rate_factor", "bits_per_byte", "reason"}]}],
      "repeats": {"planned": n, "room_seconds", "reason", "seed_noise"},
      "supernet": null, or where scores are inherited {"planned": {"plan", "largest", "num_members",
                  "seconds", "num_updates"}, "trained": {"train_bytes", "train_seconds", "flops"},
                  "finalists": {"trials", "train_bytes", "trained": n, "reason"}},
      "arms": [{"name", "kind", "seed", "trial", "summary", "architecture", "metrics",
                "interval": [low, high] or null, "misses": [limit], "details"}],
      "all_trials": [trial],
      "corpus", "environment", "calibration", "suggestion", "settings": as the study noted them

A trial is {"number", "state", "strategy", "reason", "broken_limits", "parents", "summary",
"architecture", "metrics", "rung", "rung_metrics", "train_seconds", "tokens_per_second",
"expert_imbalance"}; a comparison has the fields of `comparison.Comparison`, a ratio of costs that
is not known as null. Metrics are in the unit of their name.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from archsmith.report.certificate_facts import certificate_json
from archsmith.report.comparison import Comparison
from archsmith.report.figures import show_limit
from archsmith.report.finalists import finalists_json
from archsmith.report.horizon import horizon_json, predicted_for
from archsmith.report.study_report import ArmRow, StudyReport, TrialRow
from archsmith.report.tables import (
    failures,
    rejections,
    state_counts,
    top_trials,
    total_spending,
)
from archsmith.report.verdict import bits_per_byte_interval, judge

VERSION = 1


def status_json(report: StudyReport) -> dict[str, Any]:
    """What `status --json` prints."""
    return {
        "version": VERSION,
        "study": {
            "name": report.name,
            "phase": report.phase,
            "seed": report.seed,
            "created": report.created,
            "objectives": list(report.objectives),
            "margin": report.margin,
            "primary_baseline": report.primary_baseline,
            "elapsed_seconds": report.elapsed_seconds,
            "budget_seconds": report.budget_seconds,
            "command": report.command,
            "limits": [limit._asdict() for limit in report.limits],
            "rungs": [asdict(rung) for rung in report.rungs],
        },
        "trials": state_counts(report),
        "rejections": rejections(report),
        "failures": failures(report),
        "running": [asdict(job) for job in report.running],
        "audit": {
            "audited": list(report.audited),
            "false_eliminations": list(report.false_eliminations),
        },
        "best": [_trial(trial) for trial in top_trials(report)],
        "spending": {
            "phases": [asdict(row) for row in report.ledger],
            "total": asdict(total_spending(report.ledger)),
        },
    }


def report_json(report: StudyReport) -> dict[str, Any]:
    """What `report --json` prints: the status and the final comparison."""
    verdict = judge(report)
    return status_json(report) | {
        "verdict": {
            "outcome": str(verdict.outcome),
            "sentence": verdict.sentence,
            "caveat": verdict.caveat,
            "margin": verdict.margin,
            "primary": None if verdict.primary is None else _comparison(verdict.primary),
            "secondary": [_comparison(found) for found in verdict.secondary],
        },
        "recommended": verdict.recommended,
        **certificate_json(report),
        "horizon": _plain(horizon_json(report)),
        "latency": {"predicted_for": predicted_for(report)},
        **_plain(finalists_json(report)),
        "supernet": _plain(report.supernet) if report.supernet else None,
        "arms": [_arm(report, arm) for arm in report.arms],
        "all_trials": [_trial(trial) for trial in report.trials],
        "corpus": _plain(report.corpus),
        "environment": _plain(report.environment),
        "calibration": _plain(report.calibration),
        "suggestion": _plain(report.suggestion),
        "settings": _plain(report.settings),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """Ratios of costs that are not known are null."""
    ratios = {"cpu_ratio": comparison.cpu_ratio, "flops_ratio": comparison.flops_ratio}
    known = {name: None if math.isnan(ratio) else ratio for name, ratio in ratios.items()}
    return asdict(comparison) | {"outcome": str(comparison.outcome)} | known


def _arm(report: StudyReport, arm: ArmRow) -> dict[str, Any]:
    interval = bits_per_byte_interval(arm)
    return {
        "name": arm.name,
        "kind": arm.kind,
        "seed": arm.seed,
        "trial": arm.trial,
        "summary": arm.summary,
        "architecture": _plain(arm.architecture),
        "metrics": dict(arm.metrics),
        "interval": None if interval is None else list(interval),
        "misses": [show_limit(*limit) for limit in report.missed_limits(arm.metrics)],
        "details": _plain(arm.details),
    }


def _trial(trial: TrialRow) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "strategy": trial.strategy,
        "reason": trial.reason,
        "broken_limits": list(trial.broken_limits),
        "parents": list(trial.parents),
        "summary": trial.summary,
        "architecture": _plain(trial.architecture),
        "metrics": dict(trial.metrics),
        "rung": trial.rung,
        "rung_metrics": {str(rung): dict(m) for rung, m in trial.rung_metrics.items()},
        "train_seconds": trial.train_seconds,
        "tokens_per_second": trial.tokens_per_second,
        "expert_imbalance": trial.expert_imbalance,
    }


def _plain(value: Any) -> Any:
    """JSON containers of JSON values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

"""The JSON of both views: its keys are a promise."""

import json

from example_study import example_study

from archsmith.report.as_json import VERSION, report_json, status_json
from archsmith.report.study_report import StudyReport

STATUS_KEYS = {
    "version", "study", "trials", "rejections", "failures", "running", "audit", "best", "spending",
}  # fmt: skip
REPORT_KEYS = STATUS_KEYS | {
    "verdict", "arms", "all_trials", "corpus", "environment", "calibration", "suggestion",
    "settings", "recommended", "anytime", "contributions", "test_openings",
    "horizon", "latency", "finalists", "repeats", "supernet",
}  # fmt: skip


def shape(value: object) -> object:
    """Keys and kinds of a JSON value, the first of a list for all."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_the_keys_are_stable() -> None:
    status, report = status_json(example_study()), report_json(example_study())
    assert VERSION == 1
    assert set(status) == STATUS_KEYS
    assert set(report) == REPORT_KEYS
    assert shape(status["study"]["limits"]) == [
        {"metric": "str", "comparison": "str", "value": "float"}
    ]
    assert set(status["best"][0]) == {
        "number", "state", "strategy", "reason", "broken_limits", "parents", "summary",
        "architecture", "metrics", "rung", "rung_metrics", "train_seconds",
        "tokens_per_second", "expert_imbalance",
    }  # fmt: skip
    assert set(status["running"][0]) == {
        "trial", "summary", "rung", "fraction_done", "train_bytes", "bits_per_byte", "seconds",
        "seconds_left",
    }  # fmt: skip
    assert set(report["arms"][0]) == {
        "name", "kind", "seed", "trial", "summary", "architecture", "metrics", "interval",
        "misses", "details",
    }  # fmt: skip
    assert set(report["contributions"]) == {
        "reason", "rung", "num_trials", "spread", "r2", "r2_low", "r2_high", "groups",
        "num_studies",
    }  # fmt: skip
    assert set(report["contributions"]["groups"][0]) == {
        "group", "varied", "share", "share_low", "share_high", "alone", "gain", "gain_low",
        "gain_high",
    }  # fmt: skip
    assert set(report["verdict"]) == {
        "outcome", "sentence", "caveat", "margin", "primary", "secondary",
    }  # fmt: skip
    assert shape(report["verdict"]["primary"]) == {
        "winner": "str", "baseline": "str", "difference": "float", "low": "float",
        "high": "float", "standard_error": "float", "degrees_of_freedom": "float",
        "p_value": "float", "adjusted_p_value": "float", "num_blocks": "int", "num_bytes": "int",
        "num_seeds": "int", "training_noise": "float", "noise_degrees_of_freedom": "int",
        "detectable": "float", "outcome": "str", "cpu_ratio": "float", "flops_ratio": "float",
        "reason": "str",
    }  # fmt: skip


def test_an_empty_study_has_the_same_keys() -> None:
    empty = report_json(StudyReport(name="empty"))
    assert set(empty) == REPORT_KEYS
    assert empty["verdict"]["primary"] is None
    assert empty["trials"] == {"complete": 0, "pending": 0, "failed": 0, "rejected": 0}


def test_it_is_json_and_reads_back() -> None:
    report = report_json(example_study())
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_best_trial_comes_first_within_the_highest_rung() -> None:
    best = status_json(example_study())["best"]
    assert len(best) == 10
    assert [t["rung"] for t in best] == sorted((t["rung"] for t in best), reverse=True)
    top = [t["metrics"]["bits_per_byte"] for t in best if t["rung"] == best[0]["rung"]]
    assert top == sorted(top)

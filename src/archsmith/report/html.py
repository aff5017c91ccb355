"""One self-contained HTML page about a study: no network, no fonts or scripts from elsewhere.

The page's words are in `page.html` (jinja2, every value escaped), its looks in `page.css`; here
values become the strings they show.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from archsmith.report import drawing, plots
from archsmith.report.anytime_plot import anytime_plot
from archsmith.report.certificate_facts import certificate_facts
from archsmith.report.figures import (
    NONE,
    show,
    show_difference,
    show_flops,
    show_imbalance,
    show_limit,
    show_span,
)
from archsmith.report.finalists import TITLES, finalist_cells, finalists_sentence
from archsmith.report.horizon import (
    equal_bytes,
    horizon_sentence,
    latency_ties,
    prediction_sentence,
    throughput_cell,
)
from archsmith.report.study_report import ArmRow, Spending, StudyReport, TrialRow
from archsmith.report.tables import (
    ArmLine,
    arm_lines,
    audit_sentence,
    failures,
    rejections,
    state_counts,
    total_spending,
)
from archsmith.report.verdict import judge
from archsmith.units import format_bytes, format_seconds

SECTIONS = (
    ("comparison", "Final comparison"),
    ("choices", "Reached and contributed"),
    ("fronts", "Fronts"),
    ("curves", "Learning curves"),
    ("architectures", "Architectures"),
    ("samples", "Completions"),
    ("search", "The search"),
    ("spending", "Spending"),
    ("corpus", "Corpus"),
    ("reproduce", "Reproduce"),
)
# details of an arm that have a place of their own on the page
_SHOWN_DETAILS = {"seed", "epochs", "train_bits_per_byte", "copied_share", "train_bytes"}


def write_html(report: StudyReport, path: Path) -> None:
    """Write the page. An existing file of that name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_html(report), encoding="utf-8")


def render_html(report: StudyReport) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    folder = files("archsmith.report")
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    verdict = judge(report)
    lines = arm_lines(report, verdict)
    ties = latency_ties([line.arm for line in lines])
    splits, corpus = _corpus(report.corpus)
    return template.render(
        css=(folder / "page.css").read_text(encoding="utf-8"),
        study=report,
        verdict=verdict,
        sections=SECTIONS,
        certificate=certificate_facts(report),
        facts=_facts(report, lines),
        lines=lines,
        split=_split_words(report),
        comparison=[_comparison(line, ties) for line in lines],
        horizon=horizon_sentence(report),
        prediction=prediction_sentence(report),
        equal_bytes=_equal_bytes(report),
        any_tied=bool(ties),
        any_experts=any(trial.expert_imbalance is not None for trial in report.trials),
        fitness=[row for line in lines if (row := _fitness(line.arm)) is not None],
        drawings=_drawings(report),
        samples=_samples(report),
        rejected=list(rejections(report).items()),
        failed=list(failures(report).items()),
        audit=audit_sentence(report),
        finalist_titles=TITLES,
        finalists=[(*finalist_cells(row), row.summary) for row in report.finalists],
        finalists_told=finalists_sentence(report),
        trials=[_trial(trial) for trial in report.trials],
        ledger=_ledger(report.ledger),
        calibration=_pairs(report.calibration),
        splits=splits,
        corpus=corpus,
        limits=_limits(report),
        suggestion=_pairs(report.suggestion),
        environment=_pairs(report.environment),
        details=_details(report),
        settings=json.dumps(report.settings, indent=2) if report.settings else "",
        plots={
            "differences": plots.differences_plot(lines, margin=report.margin),
            "front_bytes": plots.front_plot(report, "file_bytes"),
            "front_ms": plots.front_plot(report, "decode_ms_per_token"),
            "anytime_seconds": anytime_plot(report, "cpu_seconds"),
            "anytime_flops": anytime_plot(report, "flops"),
            "curves_bytes": plots.curves_plot(report, "train_bytes"),
            "curves_seconds": plots.curves_plot(report, "seconds"),
            "ladder": plots.ladder_plot(report),
            "spending": plots.spending_plot(report),
        },
    )


def _facts(report: StudyReport, lines: Sequence[ArmLine]) -> list[tuple[str, str]]:
    """The few figures at the top: (what, value)."""
    counts = state_counts(report)
    facts = []
    if lines and lines[0].arm.kind == "search":
        winner = lines[0].arm
        for metric, name in (
            ("bits_per_byte", "bits per byte, winner"),
            ("file_bytes", "file, winner"),
            ("decode_ms_per_token", "per generated token"),
            ("num_params", "parameters"),
        ):
            if metric in winner.metrics:
                facts.append((name, show(metric, winner.metrics[metric])))
    trained = sum(trial.rung >= 0 for trial in report.trials)
    facts.append(("trials trained", f"{trained:,}"))
    facts.append(("rejected before training", f"{counts['rejected']:,}"))
    facts.append(("failed", f"{counts['failed']:,}"))
    if report.ledger:
        facts.append(("spent in all", format_seconds(total_spending(report.ledger).seconds)))
    if report.elapsed_seconds is not None:
        granted = f" of {format_seconds(report.budget_seconds)}" if report.budget_seconds else ""
        facts.append(("wall clock", format_seconds(report.elapsed_seconds) + granted))
    return facts


def _split_words(report: StudyReport) -> str:
    """Which held-out text the arms were scored on, where they say so."""
    names = {str(arm.details["split"]) for arm in report.arms if "split" in arm.details}
    if names == {"test"}:
        once = ", opened once, after every decision" if len(report.openings) <= 1 else ""
        return f": the sealed test split{once}"
    return f": the {names.pop()} split" if len(names) == 1 else ""


def _equal_bytes(report: StudyReport) -> dict[str, Any] | None:
    found = equal_bytes(report)
    if found is None:
        return None
    return {
        "at": format_bytes(found.train_bytes),
        "rows": [
            (name, show("bits_per_byte", bits), format_seconds(seconds))
            for name, bits, seconds in found.rows
        ],
    }


def _comparison(line: ArmLine, ties: Mapping[str, str]) -> dict[str, Any]:
    metrics, found = line.arm.metrics, line.comparison
    p_value = NONE if found is None else _p_value(found.adjusted_p_value)
    return {
        "name": line.arm.name + (f" ({line.num_seeds} seeds)" if line.num_seeds > 1 else ""),
        "winner": line.arm.kind == "search",
        "primary": line.is_primary,
        "misses": ", ".join(line.misses),
        "score": show("bits_per_byte", line.bits_per_byte),
        "interval": "" if line.interval is None else show_span(*line.interval),
        "difference": NONE if found is None else show_difference(found.difference),
        "span": "" if found is None else show_span(found.low, found.high, signed=True),
        "p_value": p_value,
        "outcome": "none" if found is None else str(found.outcome),
        "verdict": line.verdict_text,
        "cost": line.cost_text,
        "file": show("file_bytes", metrics.get("file_bytes")),
        "speed": ties.get(line.arm.name, "")
        + show("decode_ms_per_token", metrics.get("decode_ms_per_token")),
        "throughput": throughput_cell(line.arm),
        "memory": show("peak_memory_bytes", metrics.get("peak_memory_bytes")),
        "params": show("num_params", metrics.get("num_params")),
        "train_seconds": show("train_seconds", line.arm.number("train_seconds")),
        "train_bytes": ""
        if line.arm.number("train_bytes") is None
        else show("train_bytes", line.arm.number("train_bytes")),
    }


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _fitness(arm: ArmRow) -> dict[str, str] | None:
    """Signs of memorizing, or None for an arm that has none of them."""
    epochs, train = arm.number("epochs"), arm.number("train_bits_per_byte")
    copied, held_out = arm.number("copied_share"), arm.number("bits_per_byte")
    if epochs is None and train is None and copied is None:
        return None
    gap = None if train is None or held_out is None else held_out - train
    return {
        "name": arm.name,
        "epochs": show("epochs", epochs),
        "train": show("bits_per_byte", train),
        "held_out": show("bits_per_byte", held_out),
        "gap": NONE if gap is None else show_difference(gap),
        "copied": show("copied_share", copied),
    }


def _drawings(report: StudyReport) -> list[dict[str, str]]:
    drawn = [
        (arm, arm.architecture)
        for arm in plots.trained_arms(report)
        if arm.architecture is not None and "layers" in arm.architecture
    ]
    scale = drawing.widest([architecture for _, architecture in drawn])
    return [
        {
            "name": arm.name,
            "summary": arm.summary,
            "svg": drawing.draw(architecture, widest_features=scale),
        }
        for arm, architecture in drawn
    ]


def _samples(report: StudyReport) -> list[list[tuple[str, str, str]]]:
    """For each prompt, what every arm wrote: (arm, prompt, completion)."""
    by_prompt: dict[str, list[tuple[str, str, str]]] = {}
    for arm in plots.trained_arms(report):
        for prompt, completion in arm.samples:
            by_prompt.setdefault(prompt, []).append((arm.name, prompt, completion))
    return list(by_prompt.values())


def _trial(trial: TrialRow) -> dict[str, Any]:
    metrics = ("bits_per_byte", "file_bytes", "decode_ms_per_token", "num_params")
    figures = [(trial.metrics.get(metric), metric) for metric in metrics]
    figures.append((trial.train_seconds or None, "train_seconds"))
    return {
        "number": trial.number,
        "state": trial.state,
        "rung": trial.rung if trial.rung >= 0 else "",
        "figures": [
            ("" if value is None else show(metric, value), "" if value is None else f"{value:.8g}")
            for value, metric in figures
        ],
        "throughput": throughput_cell(trial),
        "experts": show_imbalance(trial.expert_imbalance),
        "strategy": trial.strategy,
        "parents": ", ".join(map(str, trial.parents)),
        "summary": trial.summary,
        "reason": trial.reason,
    }


def _ledger(ledger: Sequence[Spending]) -> list[dict[str, str]]:
    if not ledger:
        return []
    return [
        {
            "phase": row.phase,
            "planned": NONE if row.planned_seconds is None else format_seconds(row.planned_seconds),
            "spent": format_seconds(row.seconds),
            "flops": show_flops(row.flops),
            "jobs": f"{row.jobs:,}" if row.jobs else NONE,
            "failed": f"{row.failed_jobs:,} ({format_seconds(row.failed_seconds)})"
            if row.failed_jobs
            else "0",
        }
        for row in (*ledger, total_spending(ledger))
    ]


def _corpus(
    corpus: Mapping[str, Any],
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Rows of the split table (name, documents, bytes), and everything else as pairs."""
    rest = dict(corpus)
    found = rest.pop("splits", {})
    splits = []
    if isinstance(found, Mapping):
        for name, counts in found.items():
            if isinstance(counts, Mapping):
                documents = counts.get("documents")
                size = counts.get("num_bytes", counts.get("bytes"))
                splits.append(
                    (
                        str(name),
                        NONE if documents is None else f"{documents:,}",
                        NONE if size is None else f"{format_bytes(size)} ({size:,})",
                    )
                )
    return splits, _pairs(rest)


def _limits(report: StudyReport) -> list[tuple[str, str]]:
    pairs = [("objective, minimized", objective) for objective in report.objectives]
    pairs += [("limit", show_limit(*limit)) for limit in report.limits]
    pairs += [
        (f"rung {rung.index}", f"{rung.fraction:.0%} of the plan, {format_bytes(rung.train_bytes)}")
        for rung in report.rungs
    ]
    if report.seed is not None:
        pairs.append(("seed", str(report.seed)))
    if report.created:
        pairs.append(("begun", report.created))
    return pairs


def _details(report: StudyReport) -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for arm in report.arms:
        rest = {key: value for key, value in arm.details.items() if key not in _SHOWN_DETAILS}
        if rest:
            seed = "" if arm.seed is None else f", seed {arm.seed}"
            found.append((arm.name + seed, _pairs(rest)))
    return found


def _pairs(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as flat (name, text) pairs, names as words."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            pairs += _pairs(value, prefix=f"{key}: " if not prefix else f"{prefix}{key}: ")
        elif isinstance(value, bool) or value is None:
            pairs.append((name, {True: "yes", False: "no", None: NONE}[value]))
        elif isinstance(value, int) and str(key).endswith("bytes"):
            exact = f" ({value:,})" if value >= 1024 else ""
            pairs.append((name, format_bytes(value) + exact))
        elif isinstance(value, int | float):
            pairs.append((name, f"{value:,}" if isinstance(value, int) else f"{value:.6g}"))
        elif isinstance(value, str):
            pairs.append((name, value))
        else:
            pairs.append((name, json.dumps(value, ensure_ascii=False, default=str)))
    return pairs

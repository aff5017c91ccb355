"""The two views for a terminal, drawn with rich: `status` while a study runs, `report` after it.

Both return something rich can print; nothing here reads a store or prints by itself. Text from
studies never reaches rich's markup.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archsmith.report.certificate_facts import certificate_facts
from archsmith.report.comparison import Outcome
from archsmith.report.figures import (
    NONE,
    plural,
    show,
    show_difference,
    show_flops,
    show_imbalance,
    show_limit,
    show_rate,
)
from archsmith.report.finalists import TITLES, finalist_cells, finalists_sentence
from archsmith.report.horizon import (
    equal_bytes,
    horizon_sentence,
    latency_ties,
    prediction_sentence,
    throughput_cell,
    tokens_per_second,
)
from archsmith.report.study_report import RunningJob, Spending, StudyReport, TrialRow
from archsmith.report.tables import (
    ArmLine,
    arm_lines,
    audit_sentence,
    failures,
    rejections,
    state_counts,
    top_trials,
    total_spending,
)
from archsmith.report.verdict import judge
from archsmith.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from rich.console import Group, JustifyMethod
    from rich.table import Table
    from rich.text import Text

_COLOURS = {
    Outcome.BEAT: "green",
    Outcome.TIED: "cyan",
    Outcome.LOST: "red",
    Outcome.UNDECIDED: "yellow",
}
Titles = Sequence[tuple[str, str]]  # (title, "left" or "right")


def status_view(report: StudyReport) -> "Group":
    """What a study is doing: phase, trials by state, jobs under way, the best so far."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Text | Table] = [_header(report)]
    titles: Titles
    counts = ", ".join(f"{count:,} {state}" for state, count in state_counts(report).items())
    parts.append(Text(f"trials: {counts}"))
    if report.running:
        rows = [_job(job) for job in report.running]
        titles = (
            ("trial", "right"), ("rung", "right"), ("done", "right"), ("text", "right"),
            ("bits/byte", "right"), ("left", "right"), ("architecture", "left"),
        )  # fmt: skip
        parts.append(_table("running now", titles, rows))
    if told := horizon_sentence(report):
        parts.append(Text(told))
    parts += _best(report, count=5)
    parts += _reasons(report)
    return Group(*parts)


def report_view(report: StudyReport) -> "Group":
    """What came out: the verdict, the final comparison, the best trials, reasons, spending."""
    from rich.console import Group
    from rich.text import Text

    verdict = judge(report)
    parts: list[Text | Table] = [_header(report)]
    titles: Titles
    parts.append(Text(f"\n{verdict.sentence}", style=f"bold {_COLOURS[verdict.outcome]}"))
    if verdict.caveat:
        parts.append(Text(verdict.caveat))
    lines = arm_lines(report, verdict)
    if told := horizon_sentence(report):
        parts.append(Text(told))
    if lines:
        ties = latency_ties([line.arm for line in lines])
        titles = (
            ("arm", "left"), ("bits/byte", "right"), ("winner\nminus it", "right"),
            ("file", "right"), ("ms/token", "right"), ("params", "right"),
            ("trained", "right"), ("verdict,\ncost ratios", "left"),
        )  # fmt: skip
        parts.append(_table("final comparison", titles, [_arm(line, ties) for line in lines]))
        if ties:
            parts.append(Text("~: milliseconds that repeats cannot tell apart; they share a rank"))
        parts += _equal_bytes(report)
        for line in lines:
            if line.misses:
                text = f"{line.arm.name} misses {', '.join(line.misses)}"
                parts.append(Text(text, style="red"))
    parts += [Text(f"\n{line}") for line in certificate_facts(report)["lines"]]
    parts += _finalists(report)
    parts += _best(report, count=10)
    parts += _reasons(report)
    if report.ledger:
        titles = (
            ("phase", "left"), ("planned", "right"), ("work", "right"),
            ("arithmetic", "right"), ("jobs", "right"), ("failed", "right"),
        )  # fmt: skip
        rows = [_spending(row) for row in (*report.ledger, total_spending(report.ledger))]
        parts.append(_table("what was spent (work: side by side jobs added up)", titles, rows))
    return Group(*parts)


def _header(report: StudyReport) -> "Text":
    from rich.text import Text

    parts = [f"study {report.name}", f"phase: {report.phase}"]
    if report.elapsed_seconds is not None:
        granted = f" of {format_seconds(report.budget_seconds)}" if report.budget_seconds else ""
        parts.append(f"{format_seconds(report.elapsed_seconds)}{granted}")
    limits = ", ".join(show_limit(*limit) for limit in report.limits) or "none"
    text = Text(" \u00b7 ".join(parts), style="bold")
    text.append(f"\nlimits: {limits}", style="not bold")
    if told := prediction_sentence(report):
        text.append(f"\n{told}", style="not bold")
    return text


def _table(title: str, titles: Titles, rows: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for name, side in titles:
        # figures keep their width; words fold
        right = side == "right"
        justify: JustifyMethod = "right" if right else "left"
        table.add_column(name, justify=justify, no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _job(job: RunningJob) -> tuple[str, ...]:
    done = NONE if job.fraction_done is None else f"{job.fraction_done:.0%}"
    left = NONE if job.seconds_left is None else format_seconds(job.seconds_left)
    return (
        str(job.trial),
        NONE if job.rung is None else str(job.rung),
        done,
        show("train_bytes", job.train_bytes),
        show("bits_per_byte", job.bits_per_byte),
        left,
        job.summary,
    )


def _best(report: StudyReport, *, count: int) -> list["Table | Text"]:
    from rich.text import Text

    best = top_trials(report, count=count)
    if not best:
        return [Text("no trial has a score yet")]
    objectives = [
        objective
        for objective in report.objectives
        if objective not in ("file_bytes", "num_params")
    ]
    experts = any(trial.expert_imbalance is not None for trial in best)
    titles = (
        ("trial", "right"), ("rung", "right"),
        *((_short(objective), "right") for objective in objectives),
        ("file", "right"), ("tokens/s", "right"), *((("imbalance", "right"),) if experts else ()),
        ("architecture", "left"),
    )  # fmt: skip
    rows = [_trial(trial, objectives, experts=experts) for trial in best]
    parts: list[Table | Text] = [_table("best so far", titles, rows)]
    if experts:
        parts.append(Text("imbalance: the busiest expert's load over the mean; 1 is even"))
    return parts


def _short(objective: str) -> str:
    names = {"bits_per_byte": "bits/byte", "decode_ms_per_token": "ms/token"}
    return names.get(objective, objective.replace("_", " "))


def _trial(trial: TrialRow, objectives: Sequence[str], *, experts: bool) -> tuple[str, ...]:
    return (
        str(trial.number),
        str(trial.rung),
        *(show(objective, trial.metrics.get(objective)) for objective in objectives),
        show("file_bytes", trial.metrics.get("file_bytes")),
        throughput_cell(trial),
        *((show_imbalance(trial.expert_imbalance),) if experts else ()),
        trial.summary,
    )


def _reasons(report: StudyReport) -> list["Table | Text"]:
    """Counted reasons of rejection and failure."""
    from rich.text import Text

    parts: list[Table | Text] = []
    found: Sequence[tuple[str, Mapping[str, int]]] = (
        ("rejected before training, by limit broken", rejections(report)),
        ("failed", failures(report)),
    )
    for title, counts in found:
        if counts:
            parts.append(Text(f"\n{title}:", style="bold"))
            parts += [Text(f"  {plural(n, 'trial')}: {why}") for why, n in counts.items()]
    if told := audit_sentence(report):
        parts.append(Text(f"\n{told}"))
    return parts


def _finalists(report: StudyReport) -> list["Table | Text"]:
    """What every training of a finalist scored."""
    from rich.text import Text

    if not report.finalists:
        return []
    titles = tuple(
        (name, "left" if name in ("seeds", "other rates") else "right") for name in TITLES
    )
    rows = [finalist_cells(row) for row in report.finalists]
    parts: list[Table | Text] = [_table("finalists, on the selection split", titles, rows)]
    if told := finalists_sentence(report):
        parts.append(Text(told))
    return parts


def _equal_bytes(report: StudyReport) -> list["Table | Text"]:
    """The arms where all had read as much, if their texts differ."""
    found = equal_bytes(report)
    if found is None:
        return []
    title = f"at equal bytes: {format_bytes(found.train_bytes)} of text, before cooldown"
    titles = (("arm", "left"), ("bits/byte", "right"), ("after", "right"))
    rows = [
        (name, show("bits_per_byte", bits), format_seconds(seconds))
        for name, bits, seconds in found.rows
    ]
    return [_table(title, titles, rows)]


def _arm(line: ArmLine, ties: Mapping[str, str]) -> tuple[str, ...]:
    metrics, found = line.arm.metrics, line.comparison
    interval = "" if line.interval is None else "\n[{:.4f},\n{:.4f}]".format(*line.interval)
    difference = NONE
    if found is not None:
        low, high = show_difference(found.low), show_difference(found.high)
        difference = f"{show_difference(found.difference)}\n[{low},\n{high}]"
    seconds, text = line.arm.number("train_seconds"), line.arm.number("train_bytes")
    trained = [format_seconds(seconds)] if seconds is not None else []
    trained += [format_bytes(text)] if text is not None else []
    rate = tokens_per_second(line.arm)
    trained += [f"{show_rate(rate)} t/s"] if rate is not None else []
    seeds = f" ({line.num_seeds} seeds)" if line.num_seeds > 1 else ""
    return (
        line.arm.name + seeds + (" (primary)" if line.is_primary else ""),
        show("bits_per_byte", line.bits_per_byte) + interval,
        difference,
        show("file_bytes", metrics.get("file_bytes")),
        ties.get(line.arm.name, "")
        + show("decode_ms_per_token", metrics.get("decode_ms_per_token")).removesuffix(" ms"),
        show("num_params", metrics.get("num_params")),
        "\n".join(trained) or NONE,
        line.verdict_text + _cost_ratios(line),
    )


def _cost_ratios(line: ArmLine) -> str:
    if line.comparison is None:
        return ""
    cpu, flops = line.cost_text
    return f"\nCPU {cpu}\nFLOPs {flops}"


def _spending(row: Spending) -> tuple[str, ...]:
    planned = NONE if row.planned_seconds is None else format_seconds(row.planned_seconds)
    lost = f"{row.failed_jobs} ({format_seconds(row.failed_seconds)})" if row.failed_jobs else "0"
    return (
        row.phase,
        planned,
        format_seconds(row.seconds),
        show_flops(row.flops),
        f"{row.jobs:,}" if row.jobs else NONE,
        lost,
    )

"""The plots of the page, one function each: a study in, an inline SVG string out.

Drawn with matplotlib; text stays text, so it takes the page's font, and colours become the page's
CSS variables, so that one drawing serves light and dark. A plot with nothing to show is "".
"""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from archsmith.report.figures import title
from archsmith.report.study_report import ArmRow, StudyReport
from archsmith.report.tables import ArmLine, front
from archsmith.units import format_bytes, format_count, format_seconds

# stand-ins that become CSS variables once the SVG is written
_INK, _MUTED = "#010101", "#020202"
_SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306", "#030307", "#030308")
_VARIABLES = {_INK: "currentColor", _MUTED: "var(--muted)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, start=1)
}
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)), (0, (8, 2)))
_MARKERS = ("*", "s", "^", "D", "v", "P", "X", "o")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "archsmith",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _MUTED,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


def front_plot(report: StudyReport, metric: str) -> str:
    """Bits per byte against a cost, both on log axes: trials by rung, finished files, limits.

    Rejected trials were never scored: they stand as faint ticks along the lower edge.
    """
    scored = [
        trial
        for trial in report.trials
        if metric in trial.metrics and "bits_per_byte" in trial.metrics
    ]
    arms = [
        arm
        for arm in trained_arms(report)
        if metric in arm.metrics and "bits_per_byte" in arm.metrics
    ]
    rejected = [
        t.metrics[metric] for t in report.trials if t.state == "rejected" and metric in t.metrics
    ]
    if not scored and not arms:
        return ""
    with _figure(6.4, 4.3) as (figure, axes):
        rungs = sorted({trial.rung for trial in scored})
        for position, rung in enumerate(rungs):
            points = [
                (t.metrics[metric], t.metrics["bits_per_byte"]) for t in scored if t.rung == rung
            ]
            strength = 0.25 + 0.6 * (position + 1) / len(rungs)
            axes.scatter(
                *zip(*points, strict=True),
                s=16 + 10 * position,
                color=_MUTED,
                alpha=strength,
                linewidths=0,
                label=_rung_name(report, rung),
            )
        if rungs:
            best = front(
                (t.metrics[metric], t.metrics["bits_per_byte"])
                for t in scored
                if t.rung == rungs[-1]
            )
            axes.step(
                *zip(*best, strict=True), where="post", color=_MUTED, linewidth=1.1, linestyle="--",
                label="front of the highest rung",
            )  # fmt: skip
        for index, arm in enumerate(arms):
            axes.scatter(
                arm.metrics[metric],
                arm.metrics["bits_per_byte"],
                s=190 if arm.kind == "search" else 62,
                marker=_MARKERS[index % len(_MARKERS)],
                color=_SERIES[index % len(_SERIES)],
                linewidths=0,
                zorder=4,
                label=_label(arm.name),
            )
        if len(arms) > 1:
            best = front((arm.metrics[metric], arm.metrics["bits_per_byte"]) for arm in arms)
            axes.step(*zip(*best, strict=True), where="post", color=_INK, linewidth=1.1, alpha=0.7,
                      label="front of the finished files")  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        if rejected:
            bottom = axes.get_ylim()[0]
            axes.plot(
                rejected, [bottom] * len(rejected), "|", color=_MUTED, alpha=0.45, markersize=11,
                label="rejected before training",
            )  # fmt: skip
            axes.set_ylim(bottom=bottom)
        for limit in report.limits:
            if limit.metric == metric:
                _limit_line(axes, metric, limit.value)
        _nice_log_ticks(axes, metric)
        axes.set_xlabel(_axis_title(metric))
        axes.set_ylabel("held-out bits per byte")
        _legend_below(figure, axes)
        return _svg(
            figure,
            f"front-{metric}",
            f"Scatter plot of held-out bits per byte against {title(metric)}, log axes. "
            + _in_words(arms, metric),
        )


def curves_plot(report: StudyReport, against: str) -> str:
    """Learning curves of the finished arms against `train_bytes` or `seconds`, floors as lines."""
    arms = [arm for arm in trained_arms(report) if len(arm.curve) > 1]
    trials = [trial for trial in report.trials if len(trial.curve) > 1]
    if not arms and not trials:
        return ""
    with _figure(6.4, 4.0) as (figure, axes):
        for number, trial in enumerate(trials):
            axes.plot(
                [getattr(point, against) for point in trial.curve],
                [point.bits_per_byte for point in trial.curve],
                color=_MUTED, linewidth=0.7, alpha=0.35, label="trials" if number == 0 else None,
            )  # fmt: skip
        for index, arm in enumerate(arms):
            axes.plot(
                [getattr(point, against) for point in arm.curve],
                [point.bits_per_byte for point in arm.curve],
                color=_SERIES[index % len(_SERIES)],
                linestyle=_DASHES[index % len(_DASHES)],
                label=_label(arm.name),
            )
        shown = [
            p.bits_per_byte for row in (arms or trials) for p in row.curve[len(row.curve) // 6 :]
        ]
        shown += [p.bits_per_byte for t in trials for p in t.curve[-1:]]
        floors = [
            arm for arm in report.arms if arm.kind == "floor" and "bits_per_byte" in arm.metrics
        ]
        for arm in floors:
            value = arm.metrics["bits_per_byte"]
            axes.axhline(value, color=_MUTED, linewidth=1.0, linestyle=":")
            axes.annotate(
                _label(arm.name), (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                textcoords="offset points", ha="right", fontsize=9, color=_INK,
            )  # fmt: skip
            shown.append(value)
        room = 0.04 * (max(shown) - min(shown) or 1)
        axes.set_ylim(min(shown) - room, max(shown) + 2 * room)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(
            lambda value, _: format_bytes(value) if against == "train_bytes" else _clock(value)
        )
        locator = _binary_locator if against == "train_bytes" else _clock_locator
        axes.xaxis.set_major_locator(locator(axes.get_xlim()[1]))
        axes.set_xlabel("text trained on" if against == "train_bytes" else "training time")
        axes.set_ylabel("held-out bits per byte")
        _legend_below(figure, axes)
        words = "bytes of training text" if against == "train_bytes" else "seconds of training"
        names = ", ".join(arm.name for arm in arms) or "the trials"
        return _svg(
            figure, f"curves-{against}", f"Held-out bits per byte against {words} for {names}."
        )


def differences_plot(lines: Sequence[ArmLine], *, margin: float) -> str:
    """Winner minus each baseline with its interval; the margin is shaded, left is better."""
    compared = [line for line in lines if line.comparison is not None]
    if not compared:
        return ""
    with _figure(6.4, 0.95 + 0.42 * len(compared)) as (figure, axes):
        axes.axvspan(-margin, margin, color=_MUTED, alpha=0.16, linewidth=0)
        axes.axvline(0, color=_MUTED, linewidth=1)
        for row, line in enumerate(reversed(compared)):
            found = line.comparison
            assert found is not None
            axes.plot([found.low, found.high], [row, row], color=_SERIES[0], linewidth=2.4,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot(found.difference, row, "o", color=_SERIES[0], markersize=7)
        axes.set_yticks(
            range(len(compared)),
            [
                _label(line.arm.name) + (" (primary)" if line.is_primary else "")
                for line in reversed(compared)
            ],
        )
        axes.set_ylim(-0.7, len(compared) - 0.3)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"winner minus baseline, bits per byte (shaded: margin of {margin:g})")
        words = "; ".join(
            f"{line.arm.name} {c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}]"
            for line in compared
            if (c := line.comparison) is not None
        )
        return _svg(figure, "differences", f"Differences in bits per byte with intervals: {words}.")


def ladder_plot(report: StudyReport) -> str:
    """Each trial's bits per byte from rung to rung: what was stopped, and what went on."""
    ladders = [
        {r: m["bits_per_byte"] for r, m in trial.rung_metrics.items() if "bits_per_byte" in m}
        for trial in report.trials
    ]
    ladders = [ladder for ladder in ladders if ladder]
    if len({rung for ladder in ladders for rung in ladder}) < 2:
        return ""
    top = max(rung for ladder in ladders for rung in ladder)
    best = min((ladder for ladder in ladders if top in ladder), key=lambda ladder: ladder[top])
    with _figure(6.4, 3.6) as (figure, axes):
        for ladder in ladders:
            chosen = ladder is best
            axes.plot(
                list(ladder), list(ladder.values()), "o-",
                color=_SERIES[0] if chosen else _MUTED, alpha=1 if chosen else 0.4,
                linewidth=2 if chosen else 0.8, markersize=5 if chosen else 3,
                zorder=3 if chosen else 2, label="best of the highest rung" if chosen else None,
            )  # fmt: skip
        rungs = sorted({rung for ladder in ladders for rung in ladder})
        axes.set_xticks(rungs, [_rung_name(report, rung) for rung in rungs])
        axes.set_ylabel("held-out bits per byte")
        _legend_below(figure, axes)
        counts = ", ".join(
            f"{sum(rung in ladder for ladder in ladders)} trials at {_rung_name(report, rung)}"
            for rung in rungs
        )
        return _svg(figure, "ladder", f"Bits per byte of each trial by rung: {counts}.")


def spending_plot(report: StudyReport) -> str:
    """Seconds by phase: planned against spent, the part lost to failures marked."""
    rows = [row for row in report.ledger if row.seconds or row.planned_seconds]
    if not rows:
        return ""
    with _figure(6.4, 0.8 + 0.5 * len(rows)) as (figure, axes):
        places = range(len(rows) - 1, -1, -1)
        if any(row.planned_seconds for row in rows):
            axes.barh(
                [place + 0.2 for place in places], [row.planned_seconds or 0 for row in rows],
                height=0.3, color=_MUTED, alpha=0.35, label="planned",
            )  # fmt: skip
        spent = [place - 0.14 for place in places]
        axes.barh(
            spent, [row.seconds for row in rows], height=0.34, color=_SERIES[0], label="spent"
        )
        if any(row.failed_seconds for row in rows):
            axes.barh(
                spent, [row.failed_seconds for row in rows], height=0.34, color=_SERIES[1],
                label="of it on failed jobs",
            )  # fmt: skip
        axes.set_yticks(list(places), [_label(row.phase) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: _clock(value))
        axes.xaxis.set_major_locator(_clock_locator(axes.get_xlim()[1]))
        axes.set_xlabel("time of work, side by side jobs added up")
        _legend_below(figure, axes)
        words = ", ".join(f"{row.phase} {format_seconds(row.seconds)}" for row in rows)
        return _svg(figure, "spending", f"Time spent by phase: {words}.")


def trained_arms(report: StudyReport) -> list[ArmRow]:
    """Arms that are models, the winner first; the first row of each name."""
    by_name = {arm.name: arm for arm in reversed(report.arms) if arm.kind != "floor"}
    names = dict.fromkeys(arm.name for arm in report.arms if arm.kind != "floor")
    return sorted((by_name[name] for name in names), key=lambda arm: arm.kind != "search")


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure of one plot (inches at 100 pixels) under the report's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: Any, name: str, words: str) -> str:
    """The figure as an SVG element for a page: no prolog, own ids, the page's colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(?<=\bid=")', f"{name}-", svg)
    svg = re.sub(r'(?<=href="#)', f"{name}-", svg)
    svg = re.sub(r"(?<=url\(#)", f"{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    opening = f'<svg class="plot" role="img" aria-label="{escape(words, quote=True)}"'
    return re.sub(r"\s*\n\s*", "\n", svg.replace("<svg", opening, 1)).strip()


def _limit_line(axes: Any, metric: str, value: float) -> None:
    axes.axvline(value, color=_SERIES[1], linewidth=1.3, linestyle=(0, (4, 2)))
    axes.annotate(
        f"limit {_tick(metric, value)}", (value, 1), xycoords=("data", "axes fraction"),
        xytext=(-4, -3), textcoords="offset points", rotation=90, ha="right", va="top",
        fontsize=9, color=_INK,
    )  # fmt: skip


def _nice_log_ticks(axes: Any, metric: str) -> None:
    """Round numbers as ticks: decades are too far apart for what is compared here."""
    from matplotlib.ticker import FixedLocator, NullLocator

    x_low, x_high = axes.get_xlim()
    base = 2.0 if metric.endswith("_bytes") else 10.0
    axes.xaxis.set_major_locator(FixedLocator(_round_numbers(x_low, x_high, base=base)))
    axes.yaxis.set_major_locator(FixedLocator(_even_steps(*axes.get_ylim())))
    axes.xaxis.set_major_formatter(lambda value, _: _tick(metric, value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())


def _round_numbers(low: float, high: float, *, base: float) -> list[float]:
    """Powers of two, or 1-2-5 numbers; steps halve until at least four lie in the range."""
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    for factors in ((1,), (1, 1.5), (1, 1.25, 1.5, 1.75)) if base == 2 else (
        (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(1 + i / 4 for i in range(36)),
    ):  # fmt: skip
        numbers = [f * base**power for power in range(first, last + 1) for f in factors]
        inside = [number for number in numbers if low <= number <= high]
        if len(inside) >= 4:
            break
    return inside[:: math.ceil(len(inside) / 8)] if len(inside) > 8 else inside


def _even_steps(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [v for v in MaxNLocator(nbins=6).tick_values(low, high) if low <= v <= high]


def _binary_locator(high: float) -> Any:
    """Ticks at round binary sizes: 10 MiB, not 9.5 MiB."""
    from matplotlib.ticker import MultipleLocator

    unit = 1024.0 ** max(0, int(math.log(max(high, 1.0), 1024)))
    step = next(
        (s for s in (1, 2, 5, 10, 20, 50, 100, 200) if high / (s * unit) <= 6), 500
    )  # fmt: skip
    return MultipleLocator(step * unit if high >= 2 * unit else unit / 4)


def _clock_locator(high: float) -> Any:
    """Ticks at round seconds, minutes or hours."""
    from matplotlib.ticker import MultipleLocator

    steps = (0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000)
    return MultipleLocator(next((step for step in steps if high / step <= 6), high / 5))


def _tick(metric: str, value: float) -> str:
    if metric.endswith("_bytes"):
        return format_bytes(value).replace(".0 ", " ")
    if metric.endswith("_ms_per_token"):
        return f"{value:g} ms"
    return format_count(value)


def _clock(seconds: float) -> str:
    """A round duration for an axis."""
    if seconds >= 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def _axis_title(metric: str) -> str:
    names = {
        "file_bytes": "bytes of the deployed file",
        "decode_ms_per_token": "milliseconds per generated token",
    }
    return names.get(metric, title(metric))


def _rung_name(report: StudyReport, rung: int) -> str:
    for row in report.rungs:
        if row.index == rung:
            return f"rung {rung} ({format_bytes(row.train_bytes)})"
    return f"rung {rung}" if rung >= 0 else "before the first rung"


def _label(name: str) -> str:
    """A name as matplotlib may draw it: short, no formula, never hidden."""
    short = name if len(name) <= 32 else name[:31] + "\u2026"
    return short.replace("$", r"\$").lstrip("_")


def _legend_below(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))


def _in_words(arms: Sequence[ArmRow], metric: str) -> str:
    return "; ".join(
        f"{arm.name}: {arm.metrics['bits_per_byte']:.4f} at {_tick(metric, arm.metrics[metric])}"
        for arm in arms
    )

"""The plots of the page, one function each: a study in, an inline SVG string out.

Drawn with matplotlib; text stays text, so it takes the page's font, and colours become the page's
CSS variables, so that one drawing serves light and dark. A plot with nothing to show is "".
"""

from collections.abc import Sequence

from archsmith.report.figures import title
from archsmith.report.study_report import ArmRow, StudyReport
from archsmith.report.svg import (
    INK,
    MUTED,
    SERIES,
    binary_locator,
    clock,
    clock_locator,
    label,
    legend_below,
    limit_line,
    new_figure,
    nice_log_ticks,
    tick,
    to_svg,
)
from archsmith.report.tables import ArmLine, front
from archsmith.units import format_bytes, format_seconds

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)), (0, (8, 2)))
_MARKERS = ("*", "s", "^", "D", "v", "P", "X", "o")


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
    with new_figure(6.4, 4.3) as (figure, axes):
        rungs = sorted({trial.rung for trial in scored})
        for position, rung in enumerate(rungs):
            points = [
                (t.metrics[metric], t.metrics["bits_per_byte"]) for t in scored if t.rung == rung
            ]
            strength = 0.25 + 0.6 * (position + 1) / len(rungs)
            axes.scatter(
                *zip(*points, strict=True),
                s=16 + 10 * position,
                color=MUTED,
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
                *zip(*best, strict=True), where="post", color=MUTED, linewidth=1.1, linestyle="--",
                label="front of the highest rung",
            )  # fmt: skip
        for index, arm in enumerate(arms):
            axes.scatter(
                arm.metrics[metric],
                arm.metrics["bits_per_byte"],
                s=190 if arm.kind == "search" else 62,
                marker=_MARKERS[index % len(_MARKERS)],
                color=SERIES[index % len(SERIES)],
                linewidths=0,
                zorder=4,
                label=label(arm.name),
            )
        if len(arms) > 1:
            best = front((arm.metrics[metric], arm.metrics["bits_per_byte"]) for arm in arms)
            axes.step(*zip(*best, strict=True), where="post", color=INK, linewidth=1.1, alpha=0.7,
                      label="front of the finished files")  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        if rejected:
            bottom = axes.get_ylim()[0]
            axes.plot(
                rejected, [bottom] * len(rejected), "|", color=MUTED, alpha=0.45, markersize=11,
                label="rejected before training",
            )  # fmt: skip
            axes.set_ylim(bottom=bottom)
        for limit in report.limits:
            if limit.metric == metric:
                limit_line(axes, metric, limit.value)
        nice_log_ticks(axes, metric)
        axes.set_xlabel(_axis_title(metric))
        axes.set_ylabel("held-out bits per byte")
        legend_below(figure, axes)
        return to_svg(
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
    with new_figure(6.4, 4.0) as (figure, axes):
        for number, trial in enumerate(trials):
            axes.plot(
                [getattr(point, against) for point in trial.curve],
                [point.bits_per_byte for point in trial.curve],
                color=MUTED, linewidth=0.7, alpha=0.35, label="trials" if number == 0 else None,
            )  # fmt: skip
        for index, arm in enumerate(arms):
            axes.plot(
                [getattr(point, against) for point in arm.curve],
                [point.bits_per_byte for point in arm.curve],
                color=SERIES[index % len(SERIES)],
                linestyle=_DASHES[index % len(_DASHES)],
                label=label(arm.name),
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
            axes.axhline(value, color=MUTED, linewidth=1.0, linestyle=":")
            axes.annotate(
                label(arm.name), (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                textcoords="offset points", ha="right", fontsize=9, color=INK,
            )  # fmt: skip
            shown.append(value)
        room = 0.04 * (max(shown) - min(shown) or 1)
        axes.set_ylim(min(shown) - room, max(shown) + 2 * room)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(
            lambda value, _: format_bytes(value) if against == "train_bytes" else clock(value)
        )
        locator = binary_locator if against == "train_bytes" else clock_locator
        axes.xaxis.set_major_locator(locator(axes.get_xlim()[1]))
        axes.set_xlabel("text trained on" if against == "train_bytes" else "training time")
        axes.set_ylabel("held-out bits per byte")
        legend_below(figure, axes)
        words = "bytes of training text" if against == "train_bytes" else "seconds of training"
        names = ", ".join(arm.name for arm in arms) or "the trials"
        return to_svg(
            figure, f"curves-{against}", f"Held-out bits per byte against {words} for {names}."
        )


def differences_plot(lines: Sequence[ArmLine], *, margin: float) -> str:
    """Winner minus each baseline with its interval; the margin is shaded, left is better."""
    compared = [line for line in lines if line.comparison is not None]
    if not compared:
        return ""
    with new_figure(6.4, 0.95 + 0.42 * len(compared)) as (figure, axes):
        axes.axvspan(-margin, margin, color=MUTED, alpha=0.16, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        for row, line in enumerate(reversed(compared)):
            found = line.comparison
            assert found is not None
            axes.plot([found.low, found.high], [row, row], color=SERIES[0], linewidth=2.4,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot(found.difference, row, "o", color=SERIES[0], markersize=7)
        axes.set_yticks(
            range(len(compared)),
            [
                label(line.arm.name) + (" (primary)" if line.is_primary else "")
                for line in reversed(compared)
            ],
        )
        axes.set_ylim(-0.7, len(compared) - 0.3)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"winner minus baseline, bits per byte\n(shaded: margin of {margin:g})")
        words = "; ".join(
            f"{line.arm.name} {c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}]"
            for line in compared
            if (c := line.comparison) is not None
        )
        return to_svg(
            figure, "differences", f"Differences in bits per byte with intervals: {words}."
        )


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
    with new_figure(6.4, 3.6) as (figure, axes):
        for ladder in ladders:
            chosen = ladder is best
            axes.plot(
                list(ladder), list(ladder.values()), "o-",
                color=SERIES[0] if chosen else MUTED, alpha=1 if chosen else 0.4,
                linewidth=2 if chosen else 0.8, markersize=5 if chosen else 3,
                zorder=3 if chosen else 2, label="best of the highest rung" if chosen else None,
            )  # fmt: skip
        rungs = sorted({rung for ladder in ladders for rung in ladder})
        axes.set_xticks(rungs, [_rung_name(report, rung) for rung in rungs])
        axes.set_ylabel("held-out bits per byte")
        legend_below(figure, axes)
        counts = ", ".join(
            f"{sum(rung in ladder for ladder in ladders)} trials at {_rung_name(report, rung)}"
            for rung in rungs
        )
        return to_svg(figure, "ladder", f"Bits per byte of each trial by rung: {counts}.")


def spending_plot(report: StudyReport) -> str:
    """Seconds by phase: planned against spent, the part lost to failures marked."""
    rows = [row for row in report.ledger if row.seconds or row.planned_seconds]
    if not rows:
        return ""
    with new_figure(6.4, 0.8 + 0.5 * len(rows)) as (figure, axes):
        places = range(len(rows) - 1, -1, -1)
        if any(row.planned_seconds for row in rows):
            axes.barh(
                [place + 0.2 for place in places], [row.planned_seconds or 0 for row in rows],
                height=0.3, color=MUTED, alpha=0.35, label="planned",
            )  # fmt: skip
        spent = [place - 0.14 for place in places]
        axes.barh(spent, [row.seconds for row in rows], height=0.34, color=SERIES[0], label="spent")
        if any(row.failed_seconds for row in rows):
            axes.barh(
                spent, [row.failed_seconds for row in rows], height=0.34, color=SERIES[1],
                label="of it on failed jobs",
            )  # fmt: skip
        axes.set_yticks(list(places), [label(row.phase) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: clock(value))
        axes.xaxis.set_major_locator(clock_locator(axes.get_xlim()[1]))
        axes.set_xlabel("time of work, side by side jobs added up")
        legend_below(figure, axes)
        words = ", ".join(f"{row.phase} {format_seconds(row.seconds)}" for row in rows)
        return to_svg(figure, "spending", f"Time spent by phase: {words}.")


def trained_arms(report: StudyReport) -> list[ArmRow]:
    """Arms that are models, the winner first; the first row of each name."""
    by_name = {arm.name: arm for arm in reversed(report.arms) if arm.kind != "floor"}
    names = dict.fromkeys(arm.name for arm in report.arms if arm.kind != "floor")
    return sorted((by_name[name] for name in names), key=lambda arm: arm.kind != "search")


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


def _in_words(arms: Sequence[ArmRow], metric: str) -> str:
    return "; ".join(
        f"{arm.name}: {arm.metrics['bits_per_byte']:.4f} at {tick(metric, arm.metrics[metric])}"
        for arm in arms
    )

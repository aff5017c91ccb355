"""The plots of anytime curves: best so far, as steps, against what was spent."""

import math
from collections.abc import Sequence

from archsmith.report.mean_curves import MeanCurve
from archsmith.report.study_report import StudyReport
from archsmith.report.svg import (
    SERIES,
    clock,
    clock_locator,
    label,
    legend_below,
    new_figure,
    to_svg,
)

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 1)))
_Line = tuple[str, list[float], list[float]]  # arm, what was spent, the best so far


def anytime_plot(report: StudyReport, against: str) -> str:
    """Best held-out bits per byte of each arm against `cpu_seconds` or `flops`; "" without any."""
    lines = [
        (
            curve.arm,
            [getattr(point, against) for point in curve.points],
            [point.bits_per_byte for point in curve.points],
        )
        for curve in report.anytime
    ]
    return _steps(lines, seconds=against == "cpu_seconds", name=f"anytime-{against}")


def mean_curves_plot(curves: Sequence[MeanCurve], *, name: str) -> str:
    """Means over seeds of the arms of one corpus, against CPU seconds; "" without any."""
    lines: list[_Line] = []
    for curve in curves:
        both = zip(curve.cpu_seconds, curve.bits_per_byte, strict=True)
        known = [(spent, bits) for spent, bits in both if not math.isnan(bits)]
        lines.append((curve.arm, [spent for spent, _ in known], [bits for _, bits in known]))
    return _steps(lines, seconds=True, name=name)


def _steps(lines: Sequence[_Line], *, seconds: bool, name: str) -> str:
    drawn = [line for line in lines if len(line[1]) > 1 and line[1][-1] > 0]
    if not drawn:
        return ""
    with new_figure(6.4, 4.0) as (figure, axes):
        for index, (arm, spent, best) in enumerate(drawn):
            axes.step(
                spent, best, where="post", color=SERIES[index % len(SERIES)],
                linestyle=_DASHES[index % len(_DASHES)], label=label(arm),
            )  # fmt: skip
        axes.set_xlim(left=0)
        if seconds:
            axes.xaxis.set_major_formatter(lambda value, _: clock(value))
            axes.xaxis.set_major_locator(clock_locator(axes.get_xlim()[1]))
        else:
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1e}" if value else "0")
        axes.set_xlabel("CPU time spent" if seconds else "training FLOPs spent")
        axes.set_ylabel("best held-out bits per byte so far")
        legend_below(figure, axes)
        words = "; ".join(
            f"{arm}: {best[-1]:.4f} after {spent[-1]:.3g}" for arm, spent, best in drawn
        )
        what = "CPU seconds" if seconds else "training FLOPs"
        return to_svg(figure, name, f"Best bits per byte so far against {what}. {words}.")

"""The plot of the anytime curves: best so far, as steps, against what was spent."""

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


def anytime_plot(report: StudyReport, against: str) -> str:
    """Best held-out bits per byte of each arm against `cpu_seconds` or `flops`; "" without any."""
    curves = [
        curve
        for curve in report.anytime
        if len(curve.points) > 1 and getattr(curve.points[-1], against) > 0
    ]
    if not curves:
        return ""
    seconds = against == "cpu_seconds"
    with new_figure(6.4, 4.0) as (figure, axes):
        for index, curve in enumerate(curves):
            axes.step(
                [getattr(point, against) for point in curve.points],
                [point.bits_per_byte for point in curve.points],
                where="post", color=SERIES[index % len(SERIES)],
                linestyle=_DASHES[index % len(_DASHES)], label=label(curve.arm),
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
            f"{curve.arm}: {curve.points[-1].bits_per_byte:.4f} after "
            f"{getattr(curve.points[-1], against):.3g}"
            for curve in curves
        )
        what = "CPU seconds" if seconds else "training FLOPs"
        return to_svg(
            figure, f"anytime-{against}", f"Best bits per byte so far against {what}. {words}."
        )

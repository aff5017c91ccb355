"""Drawing with matplotlib for a page: style, round ticks, and figures as inline SVG elements."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from archsmith.units import format_bytes, format_count

# stand-ins that become CSS variables once the SVG is written
INK, MUTED = "#010101", "#020202"
SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306", "#030307", "#030308")
_VARIABLES = {INK: "currentColor", MUTED: "var(--muted)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "archsmith",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": MUTED,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure of one plot (inches at 100 pixels) under the report's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def to_svg(figure: Any, name: str, words: str) -> str:
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


def limit_line(axes: Any, metric: str, value: float) -> None:
    """A dashed vertical line at a limit, with its value."""
    axes.axvline(value, color=SERIES[1], linewidth=1.3, linestyle=(0, (4, 2)))
    axes.annotate(
        f"limit {tick(metric, value)}", (value, 1), xycoords=("data", "axes fraction"),
        xytext=(-4, -3), textcoords="offset points", rotation=90, ha="right", va="top",
        fontsize=9, color=INK,
    )  # fmt: skip


def nice_log_ticks(axes: Any, metric: str) -> None:
    """Round numbers as ticks: decades are too far apart for what is compared here."""
    from matplotlib.ticker import FixedLocator, NullLocator

    x_low, x_high = axes.get_xlim()
    base = 2.0 if metric.endswith("_bytes") else 10.0
    axes.xaxis.set_major_locator(FixedLocator(_round_numbers(x_low, x_high, base=base)))
    axes.yaxis.set_major_locator(FixedLocator(_even_steps(*axes.get_ylim())))
    axes.xaxis.set_major_formatter(lambda value, _: tick(metric, value))
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


def binary_locator(high: float) -> Any:
    """Ticks at round binary sizes: 10 MiB, not 9.5 MiB."""
    from matplotlib.ticker import MultipleLocator

    unit = 1024.0 ** max(0, int(math.log(max(high, 1.0), 1024)))
    step = next(
        (s for s in (1, 2, 5, 10, 20, 50, 100, 200) if high / (s * unit) <= 6), 500
    )  # fmt: skip
    return MultipleLocator(step * unit if high >= 2 * unit else unit / 4)


def clock_locator(high: float) -> Any:
    """Ticks at round seconds, minutes or hours."""
    from matplotlib.ticker import MultipleLocator

    steps = (0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000)
    return MultipleLocator(next((step for step in steps if high / step <= 6), high / 5))


def tick(metric: str, value: float) -> str:
    """A metric's value as short as an axis needs it."""
    if metric.endswith("_bytes"):
        return format_bytes(value).replace(".0 ", " ")
    if metric.endswith("_ms_per_token"):
        return f"{value:g} ms"
    return format_count(value)


def clock(seconds: float) -> str:
    """A round duration for an axis."""
    if seconds >= 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def label(name: str) -> str:
    """A name as matplotlib may draw it: short, no formula, never hidden."""
    short = name if len(name) <= 32 else name[:31] + "\u2026"
    return short.replace("$", r"\$").lstrip("_")


def legend_below(figure: Any, axes: Any) -> None:
    """The legend under the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))

"""A replay as one self-contained HTML page with its curves, in the looks of the report."""

from importlib.resources import files
from pathlib import Path

from archsmith.replay.curves import interval_words
from archsmith.replay.outcome import Replay, table_rows
from archsmith.report.svg import INK, SERIES, label, legend_below, new_figure, to_svg

_DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1)), (0, (3, 1)))


def write_page(replay: Replay, path: Path) -> None:
    """Write the page. An existing file of that name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(replay), encoding="utf-8")


def render_page(replay: Replay) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = (files("archsmith.replay") / "page.html").read_text(encoding="utf-8")
    css = (files("archsmith.report") / "page.css").read_text(encoding="utf-8")
    header, rows = table_rows(replay)
    return environment.from_string(template).render(
        css=css,
        replay=replay,
        header=header,
        rows=rows,
        settings=[(arm.name, ", ".join(_settings(arm.settings))) for arm in replay.arms],
        plot=curves_plot(replay),
        caption=f"Means; {interval_words(replay.repeats)}",
    )


def _settings(settings: object) -> list[str]:
    assert isinstance(settings, dict)
    return [f"{key} = {value}" for key, value in settings.items() if key != "type"]


def curves_plot(replay: Replay) -> str:
    """The measure against evaluations, one line per arm with the band of its mean."""
    is_regret = replay.measure == "regret"
    steps = range(1, replay.n_trials + 1)
    with new_figure(9.0, 5.2) as (figure, axes):
        for number, arm in enumerate(replay.arms):
            colour = SERIES[number % len(SERIES)]
            dash = _DASHES[number // len(SERIES) % len(_DASHES)]
            if replay.repeats > 1:
                low, high = arm.band
                axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(steps, arm.mean, color=colour, linestyle=dash, label=label(arm.name))
        if is_regret and min(float(arm.mean.min()) for arm in replay.arms) > 0:
            axes.set_yscale("log")
        elif not is_regret:
            axes.axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlim(1, max(replay.n_trials, 2))
        axes.set_xlabel("models trained")
        axes.set_ylabel(
            f"regret in {replay.objectives[0]}" if is_regret else "share of the hypervolume"
        )
        legend_below(figure, axes)
        last = "; ".join(f"{arm.name} {arm.mean[-1]:.4g}" for arm in replay.arms)
        return to_svg(
            figure, "curves", f"{replay.measure_words}. After {replay.n_trials} models: {last}."
        )

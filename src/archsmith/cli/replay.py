"""`archsmith replay`: search strategies on a recorded table of trained models."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsmith.cli._common import json_option, print_json, quiet_option

if TYPE_CHECKING:
    from archsmith.replay.outcome import Replay


@click.command("replay")
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME[:SETTING=VALUE,...]",
    help="A registered strategy; give several to compare them with the first. "
    "[default: random and law_guided]",
)
@click.option("--n-trials", type=click.IntRange(min=1), default=100, show_default=True,
              help="Models a search may train.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(min=1), default=40, show_default=True,
              help="Searches per strategy; repeat r has the same seed in all.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the first repeat.")  # fmt: skip
@click.option("--n-jobs", type=click.IntRange(min=1), default=1, show_default=True,
              help="Processes; figures do not depend on it.")  # fmt: skip
@click.option("--at", "checkpoints", type=click.IntRange(min=1), multiple=True, metavar="N",
              help="Tell figures after so many models.")  # fmt: skip
@click.option(
    "--description",
    "description_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that says what the columns mean. [default: TABLE's name with .toml]",
)
@click.option("--objective", "objectives", multiple=True, metavar="NAME[=COLUMN,...][:max]",
              help="Objectives of this run: names of the description, or columns; several "
              "columns are training seeds. Behind a colon stands max or min (the default).",
              )  # fmt: skip
@click.option("--categorical", multiple=True, metavar="COLUMN",
              help="Without a file: choices without an order (patterns allowed).")  # fmt: skip
@click.option("--ordinal", multiple=True, metavar="COLUMN",
              help="Without a file: choices with an order.")  # fmt: skip
@click.option("--identity", metavar="COLUMN", help="Without a file: what tells models apart.")
@click.option("--static", multiple=True, metavar="NAME=COLUMN",
              help="Without a file: a metric known before training.")  # fmt: skip
@click.option("--where", multiple=True, metavar="COLUMN=VALUE",
              help="Without a file: only such rows.")  # fmt: skip
@click.option("--seeds-in-rows", is_flag=True,
              help="Without a file: rows of one model are its training seeds.")  # fmt: skip
@click.option("--limit", "limits", multiple=True, metavar="LIMIT",
              help="A hard limit on a static metric, as in 'num_params<=2M'.")  # fmt: skip
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Keep finished repeats in this file (JSON lines, made if missing): the same "
              "command goes on where it was stopped.")  # fmt: skip
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a page with the curves to this file.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the page if it exists.")
@json_option
@quiet_option
def command(
    *,
    table: Path,
    strategies: tuple[str, ...],
    n_trials: int,
    repeats: int,
    seed: int,
    n_jobs: int,
    checkpoints: tuple[int, ...],
    description_file: Path | None,
    objectives: tuple[str, ...],
    categorical: tuple[str, ...],
    ordinal: tuple[str, ...],
    identity: str | None,
    static: tuple[str, ...],
    where: tuple[str, ...],
    seeds_in_rows: bool,
    limits: tuple[str, ...],
    store: Path | None,
    html_file: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run search strategies on TABLE, where one row is one trained model.

    Nothing is trained: a search is shown the row's recorded objectives. With one objective the
    regret is told, with several the share of the true front's hypervolume.
    """
    from archsmith.errors import ConfigError, SearchInterrupted
    from archsmith.replay.description import (
        describe,
        find_description,
        objective_name,
        read_description,
    )
    from archsmith.replay.run import read_strategies, replay
    from archsmith.replay.table import load_table

    if html_file is not None and html_file.exists() and not force:
        raise ConfigError(f"{html_file} exists; choose another file, or --force to overwrite it")
    arms = read_strategies(strategies)
    found = description_file or find_description(table)
    if found is not None:
        named = (categorical, ordinal, identity, static, where, seeds_in_rows)
        if any(named) or any("=" in text for text in objectives):
            raise ConfigError(
                f"{found} describes the table; columns are named either there or by options. "
                "With a description, --objective takes its names"
            )
        description, names = read_description(found), list(objectives)
    else:
        description = describe(
            categorical=categorical,
            ordinal=ordinal,
            identity=identity,
            objectives=objectives,
            static=static,
            where=where,
            seeds_in_rows=seeds_in_rows,
        )
        names = [objective_name(text) for text in objectives]
    loaded = load_table(table, description, objectives=names, limits=limits)
    try:
        result = replay(
            loaded,
            arms,
            n_trials=n_trials,
            repeats=repeats,
            seed=seed,
            n_jobs=n_jobs,
            checkpoints=sorted(set(checkpoints)),
            store=store,
            report=_progress(quiet=quiet),
        )
    except KeyboardInterrupt:
        raise SearchInterrupted(
            "interrupted; without --store FILE nothing is kept, and the same command begins anew"
            if store is None
            else f"interrupted; finished repeats are in {store}: the same command continues"
        ) from None
    if html_file is not None:
        from archsmith.data.storage import clear_write_errors
        from archsmith.replay.page import write_page

        with clear_write_errors(html_file):
            write_page(result, html_file)
    _show(result, as_json=as_json)
    if html_file is not None and not as_json:
        click.echo(f"page: {html_file}", err=True)


def _show(result: "Replay", *, as_json: bool) -> None:
    from archsmith.replay.outcome import replay_json, table_rows

    if as_json:
        print_json(replay_json(result))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    header, rows = table_rows(result)
    shown = Table(title=result.measure_words, caption=result.sentence, box=box.SIMPLE_HEAD,
                  title_justify="left", caption_justify="left")  # fmt: skip
    for number, title in enumerate(header):
        shown.add_column(title, justify="right" if number else "left", no_wrap=number == 0)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    for note in result.notes:
        click.echo(note)


def _progress(*, quiet: bool) -> Callable[[str, float, float | None], None]:
    """Shows the share done and the time left on stderr: live on a terminal, else in tenths."""
    from archsmith.units import format_seconds

    if quiet:
        return lambda what, share, left: None
    live = sys.stderr.isatty()
    told = [-1]

    def show(what: str, share: float, left: float | None) -> None:
        percent = int(100 * share)
        if percent <= told[0] or (not live and percent // 10 == told[0] // 10):
            return
        told[0] = percent
        ahead = f", {format_seconds(left)} left" if left else ""
        start = "\r\x1b[K" if live else ""
        click.echo(f"{start}{what}: {percent}%{ahead}", err=True, nl=not live or percent == 100)

    return show

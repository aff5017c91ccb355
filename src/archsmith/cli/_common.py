"""What several sub-commands share: options, output, progress on stderr."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
config_argument = click.argument(
    "config_file", type=click.Path(dir_okay=False, path_type=Path), default=Path("search.toml")
)
limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="A hard limit such as 'file_bytes<=16MiB'; may be given several times.",
)


def print_json(data: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(data, indent=2, sort_keys=True, default=str))


def progress_printer(*, quiet: bool) -> Callable[[str, float], None]:
    """A callback (what, fraction) that shows progress on stderr: live on a terminal, else lines."""
    if quiet:
        return lambda what, fraction: None
    live = sys.stderr.isatty()
    shown: dict[str, int] = {}

    def show(what: str, fraction: float) -> None:
        percent = int(100 * min(max(fraction, 0.0), 1.0))
        step = 1 if live else 50
        if what in shown and percent < shown[what] + step and percent < 100:
            return
        if shown.get(what) == 100:
            return
        shown[what] = percent
        start = "\r" if live else ""
        click.echo(f"{start}{what}: {percent}%", err=True, nl=not live or percent == 100)

    return show

"""`archsmith status`: where a study stands. Reads the store alone."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json
from archsmith.cli._study import load_report, storage_option, study_option


@click.command("status")
@click.argument(
    "config_file", type=click.Path(dir_okay=False, path_type=Path), default=Path("search.toml")
)
@storage_option
@study_option
@json_option
def command(
    *, config_file: Path, storage: str | None, study_name: str | None, as_json: bool
) -> None:
    """Show a study: trials by state, what runs, the best so far, what was rejected and why."""
    report = load_report(config_file, storage=storage, study_name=study_name)
    if as_json:
        from archsmith.report.as_json import status_json

        print_json(status_json(report))
        return
    from rich.console import Console

    from archsmith.report.terminal import status_view

    Console().print(status_view(report))

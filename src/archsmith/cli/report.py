"""`archsmith report`: the certificate of a study, in the terminal and as one HTML file."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json
from archsmith.cli._study import load_report, storage_option, study_option


@click.command("report")
@click.argument(
    "config_file", type=click.Path(dir_okay=False, path_type=Path), default=Path("search.toml")
)
@storage_option
@study_option
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page to this file.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@json_option
def command(
    *,
    config_file: Path,
    storage: str | None,
    study_name: str | None,
    html_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Report what a study found, beside its baselines, with intervals and everything spent."""
    from archsmith.errors import ConfigError

    if html_file is not None and html_file.exists() and not force:
        raise ConfigError(f"{html_file} exists; choose another file, or --force to overwrite it")
    report = load_report(config_file, storage=storage, study_name=study_name)
    if html_file is not None:
        from archsmith.data.storage import clear_write_errors
        from archsmith.report.html import write_html

        with clear_write_errors(html_file):
            write_html(report, html_file)
    if as_json:
        from archsmith.report.as_json import report_json

        print_json(report_json(report))
        return
    from rich.console import Console

    from archsmith.report.terminal import report_view

    Console().print(report_view(report))
    if html_file is not None:
        click.echo(f"page: {html_file}", err=True)

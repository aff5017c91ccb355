"""`archsmith report`: the certificate of a study, in the terminal and as one HTML file; over
several studies, the certificate that pairs them by seed."""

from pathlib import Path
from typing import Any

import click

from archsmith.cli._common import json_option, print_json
from archsmith.cli._study import find_studies, load_report, storage_option, study_option


@click.command("report")
@click.argument(
    "config_files", nargs=-1, metavar="[SEARCH_FILE]...", type=click.Path(path_type=Path)
)
@storage_option
@study_option
@click.option("--arm", help="With several strategies: the one whose claim was fixed as primary.")
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
    config_files: tuple[Path, ...],
    storage: str | None,
    study_name: str | None,
    arm: str | None,
    html_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Report what a study found, beside its baselines, with intervals and everything spent.

    With several search files, databases or folders of them: one certificate over all their
    studies, paired by seed and corpus, with an exact test.
    """
    from archsmith.errors import ConfigError

    if html_file is not None and html_file.exists() and not force:
        raise ConfigError(f"{html_file} exists; choose another file, or --force to overwrite it")
    if len(config_files) > 1 or any(path.is_dir() or path.suffix == ".db" for path in config_files):
        if storage is not None or study_name is not None:
            raise ConfigError("--storage and --study-name name one study; give one search file")
        studies = find_studies(config_files)
        if len(studies) > 1 or arm is not None:
            return _certificate(studies, arm=arm, html_file=html_file, as_json=as_json)
        report = studies[0]
    else:
        if arm is not None:
            raise ConfigError("--arm is for a certificate over several studies; one was given")
        config_file = config_files[0] if config_files else Path("search.toml")
        report = load_report(config_file, storage=storage, study_name=study_name)
    if html_file is not None:
        from archsmith.data.storage import clear_write_errors
        from archsmith.report.html import write_html

        with clear_write_errors(html_file):
            write_html(report, html_file)
    if as_json:
        from archsmith.report.as_json import report_json

        print_json(report_json(report))
        return None
    from rich.console import Console

    from archsmith.report.terminal import report_view

    Console().print(report_view(report))
    if html_file is not None:
        click.echo(f"page: {html_file}", err=True)
    return None


def _certificate(
    studies: list[Any], *, arm: str | None, html_file: Path | None, as_json: bool
) -> None:
    from archsmith.report.several import certify_studies

    found = certify_studies(studies, arm=arm)
    if html_file is not None:
        from archsmith.data.storage import clear_write_errors
        from archsmith.report.certificate_page import write_certificate_page

        with clear_write_errors(html_file):
            write_certificate_page(found, html_file)
        click.echo(f"page: {html_file}", err=True)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found.markdown(), nl=False)

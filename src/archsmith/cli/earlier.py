"""`archsmith earlier`: a study's trials as a file that a later search begins with."""

from pathlib import Path

import click

from archsmith.cli._common import config_argument, json_option, print_json
from archsmith.cli._study import locate, storage_option, study_option


@click.command("earlier")
@config_argument
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Write to this file, which must not exist yet.",
)
@storage_option
@study_option
@json_option
def command(
    *,
    config_file: Path,
    output: Path,
    storage: str | None,
    study_name: str | None,
    as_json: bool,
) -> None:
    """Write what a study measured, for another search on other text or another device.

    That search names the file under [strategy], as in `earlier = ["notes.jsonl"]`.
    """
    from archsmith.store.store import connect
    from archsmith.workflow.earlier_study import write_study

    url, name = locate(config_file, storage, study_name)
    count = write_study(connect(url, read_only=True), name, output)
    if as_json:
        print_json({"written": str(output), "study": name, "trials": count})
    else:
        click.echo(f"{output}: {count} trials of study '{name}'")

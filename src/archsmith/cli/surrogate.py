"""`archsmith surrogate`: how well the surrogate of a study predicts, from the store alone."""

from pathlib import Path

import click

from archsmith.cli._common import config_argument, json_option, print_json
from archsmith.cli._study import locate, storage_option, study_option


@click.command("surrogate")
@config_argument
@storage_option
@study_option
@json_option
def command(
    *, config_file: Path, storage: str | None, study_name: str | None, as_json: bool
) -> None:
    """Say how well a study's surrogate predicts bits per byte.

    Sizes, and earlier corpora, are predicted from all others; the winner's end of training is
    foretold from the rungs, with its interval, and held against what was measured.
    """
    from archsmith.store.store import connect
    from archsmith.workflow.surrogate_check import check_surrogate

    url, name = locate(config_file, storage, study_name)
    root = config_file.resolve().parent
    found = check_surrogate(connect(url, read_only=True), name, root=root)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        click.echo("\n".join(found.lines()))

"""`archsmith init`: look at a corpus and this machine, write `search.toml`."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, limit_option, print_json


@click.command("init")
@click.argument("corpus", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("search.toml"),
    show_default=True,
    help="The file to write.",
)
@click.option("--timeout", default="8h", show_default=True, help="Time for the whole job.")
@limit_option
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@json_option
def command(
    *,
    corpus: tuple[str, ...],
    output: Path,
    timeout: str,
    limits: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write a commented search file for the text in CORPUS (files, folders or globs)."""
    from archsmith.data.sources import find_files
    from archsmith.device.profile import candidates_side_by_side
    from archsmith.errors import ConfigError
    from archsmith.trial import Limit
    from archsmith.units import parse_seconds
    from archsmith.workflow.starter import starter_text, study_name_of

    if output.exists() and not force:
        raise ConfigError(f"{output} exists; choose another --output, or --force to overwrite it")
    parse_seconds(timeout)
    for text in limits:
        Limit.parse(text)
    found = find_files(corpus, exclude=(), root=Path())
    num_bytes = sum(file.path.stat().st_size for file in found)
    content = starter_text(
        study_name=study_name_of(Path(corpus[0])),
        files=corpus,
        corpus_bytes=num_bytes,
        num_cores=candidates_side_by_side(),
        limits=limits,
        timeout=timeout,
    )
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"written": str(output), "files": len(found), "bytes": num_bytes})
        return
    click.echo(f"{output} written for {len(found)} files. Next: archsmith check {output}")

"""`archsmith suggest`: an architecture for a corpus and limits, in seconds, without training."""

from pathlib import Path

import click

from archsmith.cli._common import (
    json_option,
    limit_option,
    print_json,
    progress_printer,
    quiet_option,
)


@click.command("suggest")
@click.argument("corpus", nargs=-1, required=True)
@limit_option
@click.option("--timeout", default="1h", show_default=True, help="Training time to plan for.")
@click.option("--exclude", multiple=True, help="Glob of files to leave out, as 'drafts/'.")
@click.option(
    "--quantization",
    "quantizations",
    multiple=True,
    default=("Q8_0", "Q4_0"),
    show_default=True,
    help="File quantizations to choose from; may be given several times.",
)
@json_option
@quiet_option
def command(
    *,
    corpus: tuple[str, ...],
    limits: tuple[str, ...],
    timeout: str,
    exclude: tuple[str, ...],
    quantizations: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Suggest a model for the text in CORPUS (files, folders or globs) within the limits.

    Prints the configuration, its vocabulary, the exact bytes of its file, and what the prior
    predicts for bits per byte and training time, with intervals, beside shapes drawn by hand.
    Nothing is trained and nothing is written beside the corpus. Of more than 8 MB of text the
    vocabulary is made from a sample; a search makes its own from more, with some other bytes.
    """
    from rich.console import Console

    from archsmith.units import parse_seconds
    from archsmith.workflow.quick import quick_suggestion
    from archsmith.workflow.tables import suggestion_view

    found = quick_suggestion(
        corpus,
        root=Path(),
        limits=limits,
        exclude=exclude,
        quantizations=tuple(name.upper() for name in quantizations),
        seconds=parse_seconds(timeout),
        report=progress_printer(quiet=quiet),
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    Console().print(suggestion_view(found))

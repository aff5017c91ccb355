"""`archsmith score`: bits per byte of any GGUF file or transformers folder on a corpus's split."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json, progress_printer, quiet_option


@click.command("score")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("search.toml"),
    show_default=True,
    help="Search file whose corpus and protocol are used.",
)
@click.option("--corpus", "files", multiple=True, help="Or text of your own: files, folders.")
@click.option(
    "--split",
    type=click.Choice(["search", "selection", "test"]),
    default="selection",
    show_default=True,
    help="The sealed test split is opened once by the search itself; opening it here is noted.",
)
@json_option
@quiet_option
def command(
    *,
    path: Path,
    config_file: Path,
    files: tuple[str, ...],
    split: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score the model at PATH, in llama.cpp or transformers, by the protocol of the search."""
    from archsmith.workflow.scoring import score_model_path

    found = score_model_path(
        path,
        config_file=config_file,
        files=files,
        split=split,
        report=progress_printer(quiet=quiet),
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    score = found.score
    click.echo(
        f"{score.bits_per_byte:.4f} bits per byte [{found.low:.4f}, {found.high:.4f}] on "
        f"{score.num_bytes:,} bytes of {split} text"
    )
    if found.word_perplexity is not None:
        click.echo(f"word perplexity {found.word_perplexity:.2f} over {found.num_words:,} words")
    click.echo(
        f"context {score.context_tokens} tokens, stride {score.stride_tokens}; 95 % interval over "
        "blocks of text, not over training seeds"
    )

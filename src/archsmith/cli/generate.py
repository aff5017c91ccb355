"""`archsmith generate`: let an exported GGUF file write, in llama.cpp."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json


@click.command("generate")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("prompt", default="")
@click.option("--max-new-tokens", default=128, show_default=True, help="Tokens to write at most.")
@click.option("--temperature", default=0.7, show_default=True, help="0 always takes the likeliest.")
@click.option("--top-k", default=40, show_default=True, help="Draw among this many tokens.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@json_option
def command(
    *,
    path: Path,
    prompt: str,
    max_new_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    as_json: bool,
) -> None:
    """Continue PROMPT with the model at PATH: a GGUF file, or a folder that holds one."""
    from archsmith.workflow.generation import continue_text, find_gguf

    completion = continue_text(
        find_gguf(path),
        prompt,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
    if as_json:
        print_json({"prompt": prompt, "completion": completion})
        return
    click.echo(prompt + completion)

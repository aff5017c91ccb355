"""`archsmith presets`: the published architectures, their counts, and which files hold them."""

import click

from archsmith.cli._common import json_option, print_json


@click.command("presets")
@click.argument("names", nargs=-1)
@json_option
def command(*, names: tuple[str, ...], as_json: bool) -> None:
    """List published models: every Phi, and Llama, Qwen3, OLMoE and Mixtral beside them.

    Counts are exact. "cache" is the key-value cache in f16 at the full context, "4.0 bit" the
    weights alone at that many bits each, "Q4_0 file" the GGUF file without its vocabulary. Below
    stands what holds each model in transformers and in llama.cpp, or why nothing does. NAMES choose
    some of them; each is a function of archsmith.presets.
    """
    from archsmith.workflow.preset_table import HEADINGS, aligned, cells, holders, preset_rows

    rows = preset_rows(names)
    if as_json:
        print_json({"presets": [row.model_dump(mode="json") for row in rows]})
        return
    for line in aligned([HEADINGS, *(cells(row) for row in rows)]):
        click.echo(line)
    click.echo()
    for row in rows:
        first, *rest = holders(row)
        click.echo(f"{row.name}: {first}")
        for line in rest:
            click.echo(f"    {line}")

"""`archsmith plugins`: every part that can be named, and where it comes from."""

from typing import Any

import click

from archsmith.cli._common import json_option, print_json


@click.command("plugins")
@json_option
def command(*, as_json: bool) -> None:
    """List the parts by kind: strategies, cost models, exporters and so on."""
    from archsmith import registry

    found: dict[str, Any] = {kind: list(registry.names(kind)) for kind in registry.KINDS}
    if as_json:
        print_json(found)
        return
    for kind, names in found.items():
        click.echo(f"{kind}: {', '.join(names)}")

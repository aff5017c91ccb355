"""`archsmith device`: what this machine is."""

import click

from archsmith.cli._common import json_option, print_json


@click.command("device")
@json_option
def command(*, as_json: bool) -> None:
    """Describe this machine and the software that results made here carry."""
    from archsmith.device.environment import environment
    from archsmith.units import format_bytes

    found = environment()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    click.echo(f"{found.processor}, {found.num_cores} cores, {format_bytes(found.memory_bytes)}")
    click.echo(f"{found.system} ({found.architecture}), Python {found.python}")
    click.echo(", ".join(f"{name} {number}" for name, number in found.packages.items()))

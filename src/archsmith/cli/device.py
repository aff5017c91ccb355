"""`archsmith device`: what this machine is, and what it can do at best, measured once."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsmith.cli._common import json_option, print_json

if TYPE_CHECKING:
    from archsmith.device.profile import DeviceProfile


@click.group("device", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Describe this machine and the software that results made here carry.

    `probe` measures its ceilings, which training speed is then compared with; `show` shows them.
    """
    if context.invoked_subcommand is not None:
        return
    from archsmith.device.environment import environment
    from archsmith.units import format_bytes

    found = environment()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    click.echo(f"{found.processor}, {found.num_cores} cores, {format_bytes(found.memory_bytes)}")
    click.echo(f"{found.system} ({found.architecture}), Python {found.python}")
    click.echo(", ".join(f"{name} {number}" for name, number in found.packages.items()))


@command.command("probe")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. [default: the user's own profile]",
)
@click.option("--repeats", type=click.IntRange(min=1), default=7, show_default=True)
@click.option(
    "--device", "kind", type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
    show_default=True,
)  # fmt: skip
@json_option
def probe_command(*, output: Path | None, repeats: int, kind: str, as_json: bool) -> None:
    """Time matrix products and memory, and keep the result."""
    import torch

    from archsmith.data.storage import write_text
    from archsmith.device.probe import probe
    from archsmith.device.profile import default_path
    from archsmith.errors import ConfigError
    from archsmith.train.precision import choose_device

    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device was found; --device cpu measures the processor")
    found = probe(choose_device(kind), repeats=repeats)
    path = output or default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, found.model_dump_json(indent=1) + "\n")
    click.echo(f"profile: {path}", err=True)
    cores = max(one.num_threads for one in found.products)
    if (found.ceiling(cores) or 0.0) < (found.ceiling(1) or 0.0):
        click.echo(
            f"{cores} threads were slower than one: other programs use this machine; "
            "measure again when it is idle",
            err=True,
        )
    _show(found, as_json=as_json)


@command.command("show")
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@json_option
def show_command(*, path: Path | None, as_json: bool) -> None:
    """Show a profile, by default this user's own."""
    from archsmith.device.profile import default_path, load_profile

    _show(load_profile(path or default_path()), as_json=as_json)


def _show(profile: "DeviceProfile", *, as_json: bool) -> None:
    if as_json:
        print_json(profile.model_dump(mode="json"))
        return
    from rich.console import Console
    from rich.table import Table

    from archsmith.units import format_bytes

    table = Table(show_edge=False, pad_edge=False)
    for title, side in (
        ("threads", "right"),
        ("what", "left"),
        ("rate", "right"),
        ("quartiles", "right"),
    ):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for one in profile.products:
        low, high = one.flops_per_second_low / 1e9, one.flops_per_second_high / 1e9
        table.add_row(
            str(one.num_threads),
            f"{one.dtype} product {one.rows} x {one.inner} x {one.columns}",
            f"{one.flops_per_second / 1e9:,.1f} GFLOP/s",
            f"{low:,.1f} - {high:,.1f}",
        )
    for two in profile.bandwidths:
        low, high = two.bytes_per_second_low / 1e9, two.bytes_per_second_high / 1e9
        table.add_row(
            str(two.num_threads),
            f"sum of two arrays of {format_bytes(two.array_bytes)}",
            f"{two.bytes_per_second / 1e9:,.1f} GB/s",
            f"{low:,.1f} - {high:,.1f}",
        )
    console = Console()
    console.print(
        f"{profile.device} of {profile.environment.processor}, measured {profile.measured}"
    )
    console.print(table)

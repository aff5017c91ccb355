"""`archsmith device`: what this machine is, and what it can do at best, measured once."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsmith.cli._common import json_option, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from archsmith.device.profile import DeviceProfile
    from archsmith.device.training_choice import KernelTiming, NumberFormat, TrainingChoice


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
    """Time matrix products, memory and the ways to train, and keep the result."""
    import torch

    from archsmith.data.storage import write_text
    from archsmith.device.probe import probe
    from archsmith.device.profile import default_path
    from archsmith.errors import ConfigError
    from archsmith.train.precision import choose_device
    from archsmith.train.tuning import Effort, tune

    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device was found; --device cpu measures the processor")
    device = choose_device(kind)
    found = probe(device, repeats=repeats)
    choice, timings = tune(
        device,
        Effort(repeats=repeats),
        on_progress=lambda what: click.echo(f"measuring {what}", err=True),
    )
    found = found.model_copy(update={"choice": choice, "timings": timings})
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
    if profile.choice is None:
        console.print("\ntraining: built-in defaults; 'archsmith device probe' measures them")
        return
    console.print(
        "\nways to train, forward and backward; ~ marks a rank that repeats cannot tell apart"
    )
    console.print(_ways(profile))
    console.print("\n" + "\n".join(_choice_lines(profile.choice)))


def _ways(profile: "DeviceProfile") -> "Table":
    """Timings beside their rivals, ranked where repeats can tell them apart."""
    from rich.table import Table

    from archsmith.device.spread import Spread, show_ranks

    table = Table(show_edge=False, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("how", no_wrap=True)
    for title in ("ms", "quartiles", "rank"):
        table.add_column(title, justify="right", no_wrap=True)
    groups: dict[tuple[str, str | None], list[KernelTiming]] = {}
    for one in profile.timings:
        groups.setdefault((one.what, one.dtype), []).append(one)
    for (what, dtype), rivals in groups.items():
        ranks = show_ranks([Spread(one.ms_low, one.ms, one.ms_high) for one in rivals])
        name = what if dtype is None else f"{what}, {dtype}"
        for place, (one, rank) in enumerate(zip(rivals, ranks, strict=True)):
            table.add_row(
                name if place == 0 else "",
                one.way,
                f"{one.ms:.3g}",
                f"{one.ms_low:.3g} - {one.ms_high:.3g}",
                rank if len(rivals) > 1 else "",
            )
    return table


def _choice_lines(choice: "TrainingChoice") -> list[str]:
    """The choice in words."""
    from archsmith.units import format_seconds

    formats: tuple[NumberFormat, ...] = ("float32", "bfloat16")
    lines = [f"training: {choice.dtype}, {_count(choice.lone_threads)} for a lone training"]
    if choice.candidates_per_device > 1:
        lines[0] += f", {choice.candidates_per_device} candidates side by side on the GPU"
    if choice.compiled_from_seconds is not None:
        least = format_seconds(choice.compiled_from_seconds)
        lines[0] += f", compiled where it lasts {least} or longer"
    for dtype in formats:
        one = choice.kernels(dtype)
        attention = (
            f"blocks of {one.query_block} queries up to {one.longest_blocked} tokens"
            if one.longest_blocked
            else "torch's own"
        )
        compiled = "" if one.compile == "no" else f"; compiled ({one.compile})"
        lines.append(
            f"{dtype}: attention: {attention}; head: {one.head_rows} rows at a time from a "
            f"vocabulary of {one.head_rows_from}{compiled}"
        )
    return lines


def _count(threads: int) -> str:
    return f"{threads} thread{'' if threads == 1 else 's'}"

"""`archsmith train`: train a trial of a study fully, from its checkpoint on."""

from pathlib import Path

import click

from archsmith.cli._common import config_argument, json_option, print_json, quiet_option


@click.command("train")
@config_argument
@click.option("--trial", default="best", show_default=True, help="Number of the trial.")
@click.option("--max-bytes", help="Text to train on in all, as 200MB.")
@click.option("--timeout", help="Or time to train, as 2h.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the model; a training stopped there goes on.",
)
@json_option
@quiet_option
def command(
    *,
    config_file: Path,
    trial: str,
    max_bytes: str | None,
    timeout: str | None,
    output_dir: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Extend a trial's trunk and cool it down; writes a model folder that `export` takes."""
    from archsmith.cli._live import watcher
    from archsmith.errors import ConfigError
    from archsmith.units import parse_bytes, parse_seconds
    from archsmith.workflow.continuing import train_trial

    if (max_bytes is None) == (timeout is None):
        raise ConfigError("give either --max-bytes or --timeout")
    with watcher(quiet=quiet) as watching:
        model = train_trial(
            config_file,
            trial=None if trial == "best" else _number(trial),
            train_bytes=None if max_bytes is None else parse_bytes(max_bytes),
            max_seconds=None if timeout is None else parse_seconds(timeout),
            output_dir=output_dir,
            watcher=watching,
        )
    record = model.record
    if as_json:
        print_json(
            {
                "model": str(model.folder),
                "architecture": model.architecture.model_dump(mode="json"),
                "record": record.model_dump(mode="json"),
                "flops_utilization": record.flops_utilization(),
            }
        )
        return
    click.echo(model.architecture.summary())
    click.echo(
        f"{record.train_bytes:,} bytes of text in {record.train_seconds:.0f} s "
        f"({record.epochs:.2f} epochs), held-out {record.curve[-1][2]:.4f} bits per byte"
    )
    share = record.flops_utilization()
    speed = "" if share is None else f", {share:.0%} of this machine's measured ceiling"
    rate = record.train_tokens / max(record.train_seconds, 1e-9)
    click.echo(f"{rate:,.0f} tokens/s{speed}")
    click.echo(f"model folder: {model.folder}. Next: archsmith export {model.folder}")


def _number(text: str) -> int:
    from archsmith.errors import ConfigError

    if not text.isdigit():
        raise ConfigError(f"--trial: give a trial's number or 'best', got {text!r}")
    return int(text)

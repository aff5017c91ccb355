"""`archsmith check`: validate a search file and print the plan, without training anything."""

from pathlib import Path

import click

from archsmith.cli._common import (
    config_argument,
    json_option,
    print_json,
    progress_printer,
    quiet_option,
)


@click.command("check")
@config_argument
@click.option("--timeout", help="Instead of the file's, as 8h.")
@json_option
@quiet_option
def command(*, config_file: Path, timeout: str | None, as_json: bool, quiet: bool) -> None:
    """Say what a search would do: corpus, space, limits, suggestion, rungs, time per phase.

    Exit code 3 where nothing in the space meets the limits.
    """
    from archsmith.units import format_bytes, format_seconds
    from archsmith.workflow.checking import check
    from archsmith.workflow.search_config import load_search_config

    config, root = load_search_config(config_file, timeout=timeout)
    plan = check(config, root=root, report=progress_printer(quiet=quiet))
    if as_json:
        print_json({**plan.model_dump(mode="json"), "config": config.model_dump(mode="json")})
        return
    click.echo(f"study      {config.study_name}, strategy {config.strategy.type}")
    for line in plan.corpus:
        click.echo(f"corpus     {line}")
    for vocabulary in plan.vocabularies:
        click.echo(
            f"vocabulary {vocabulary.vocab_size}: {vocabulary.bytes_per_token:.2f} bytes a token, "
            f"context {vocabulary.context_tokens} tokens"
        )
    click.echo(f"space      10^{plan.log10_space_size:.1f} architectures")
    for reason in plan.left_out:
        click.echo(f"left out   {reason}")
    for limit in config.limits:
        click.echo(f"limit      {limit}")
    click.echo(f"suggested  {plan.suggestion.architecture.summary()}")
    if plan.supernet is not None:
        shared = plan.supernet
        click.echo(
            f"supernet   {shared.plan.method}: {shared.num_members:,} networks in "
            f"{shared.largest}, {format_bytes(shared.plan.train_bytes)} of text, "
            f"{shared.num_updates:,} updates, about {format_seconds(shared.seconds)}"
        )
        click.echo("           scores are inherited; the rungs are what finalists are trained to")
        if shared.warning:
            click.echo(f"warning    {shared.warning}")
    for rung in plan.rungs:
        click.echo(
            f"rung {rung.index}     {format_bytes(rung.train_bytes)} of text, "
            f"about {format_seconds(plan.seconds_per_rung[rung.index])} for the suggestion"
        )
    click.echo(
        f"training   {format_bytes(plan.suggestion.rows[0].train_bytes)} of text, "
        f"{plan.epochs:.2f} epochs"
    )
    if plan.budget is not None:
        for phase, seconds in plan.budget.lines():
            click.echo(f"time       {format_seconds(seconds):>7}  {phase}")
    click.echo(f"disk       about {format_bytes(plan.checkpoint_bytes)} of checkpoints per trial")

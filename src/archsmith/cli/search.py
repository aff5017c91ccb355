"""`archsmith search`: run a search file, or continue it."""

import shlex
import sys
from pathlib import Path

import click

from archsmith.cli._common import config_argument, json_option, print_json, quiet_option


@click.command("search")
@config_argument
@click.option("--timeout", help="Time for the whole job, as 8h; instead of the file's.")
@click.option("--n-trials", type=click.IntRange(min=1), help="Trials at most.")
@click.option("--n-jobs", type=click.IntRange(min=1), help="Candidates trained side by side.")
@click.option("--seed", type=int, help="Of proposals, weights and data order.")
@json_option
@quiet_option
def command(
    *,
    config_file: Path,
    timeout: str | None,
    n_trials: int | None,
    n_jobs: int | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Search, train the winner, export it, and report. Started again, it continues.

    Ctrl-C saves what is under way; `archsmith export` makes a model of whatever is best so far.
    """
    from archsmith.cli._live import watcher
    from archsmith.report.as_json import report_json
    from archsmith.report.html import write_html
    from archsmith.report.load import load_study
    from archsmith.workflow.pipeline import Pipeline
    from archsmith.workflow.recommended import RECOMMENDED
    from archsmith.workflow.search_config import load_search_config
    from archsmith.workflow.workspace import require_export

    require_export()
    config, root = load_search_config(
        config_file, timeout=timeout, n_trials=n_trials, n_jobs=n_jobs, seed=seed
    )
    with watcher(quiet=quiet) as watching:
        pipeline = Pipeline(
            config,
            root=root,
            watcher=watching,
            command=shlex.join(["archsmith", *sys.argv[1:]]),
        )
        pipeline.run()
    report = load_study(pipeline.store, config.study_name)
    page = pipeline.workspace.output_dir / "report.html"
    models = pipeline.workspace.output_dir / "models"
    recommended = models / RECOMMENDED
    write_html(report, page)
    if as_json:
        print_json({**report_json(report), "page": str(page)})
        return
    from rich.console import Console

    from archsmith.report.terminal import report_view

    Console().print(report_view(report))
    click.echo(f"models:      {models}")
    if recommended.exists():
        click.echo(f"recommended: {recommended} -> {recommended.resolve().name}")
    click.echo(f"page:        {page}")

"""`archsmith demo`: the whole job on Python's own standard library, in about ten minutes."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json, quiet_option


@click.command("demo")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for everything made; a demo stopped there continues.",
)
@click.option("--minutes", default=10.0, show_default=True, help="Time for everything.")
@json_option
@quiet_option
def command(*, output_dir: Path, minutes: float, as_json: bool, quiet: bool) -> None:
    """Search, train, export and compare code models on this Python's own source.

    One core searches and trains while another trains the fitted Llama shape; then two more
    baselines follow for the same seconds. Needs no download.
    """
    from archsmith.cli._live import watcher
    from archsmith.data.storage import make_folder
    from archsmith.report.as_json import report_json
    from archsmith.report.html import write_html
    from archsmith.report.load import load_study
    from archsmith.workflow.baselines import model_dir
    from archsmith.workflow.demo import run_demo
    from archsmith.workflow.generation import continue_text, find_gguf
    from archsmith.workflow.workspace import require_export

    require_export()
    make_folder(output_dir)
    with watcher(quiet=quiet) as watching:
        pipeline = run_demo(output_dir.resolve(), minutes=minutes, watcher=watching)
    report = load_study(pipeline.store, pipeline.name)
    page = output_dir / "report.html"
    write_html(report, page)
    gguf = find_gguf(model_dir(pipeline.workspace))
    prompt = "def read_lines(path):\n    "
    written = continue_text(gguf, prompt, max_new_tokens=96, temperature=0.5)
    if as_json:
        print_json({**report_json(report), "page": str(page), "gguf": str(gguf), "text": written})
        return
    from rich.console import Console

    from archsmith.report.terminal import report_view

    Console().print(report_view(report))
    click.echo(f"\nwritten by llama.cpp from {gguf}:\n\n{prompt}{written}\n")
    click.echo(f"page:                {page}")
    click.echo(f"GGUF file:           {gguf}")
    click.echo(f"transformers folder: {model_dir(pipeline.workspace) / 'transformers'}")

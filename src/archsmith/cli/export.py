"""`archsmith export`: write a model for stock tools, reload it, and compare."""

from pathlib import Path

import click

from archsmith.cli._common import json_option, print_json, quiet_option


@click.command("export")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["gguf", "huggingface"]),
    default=("gguf", "huggingface"),
    show_default=True,
    help="May be given several times.",
)
@click.option("--quantization", help="Of the GGUF file; the architecture's own by default.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write into.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@json_option
@quiet_option
def command(
    *,
    source: Path,
    formats: tuple[str, ...],
    quantization: str | None,
    output_dir: Path,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Export SOURCE: a model folder, a search file (then what it recommends, or before its end the
    best trial so far, cooled down), or a folder that transformers' save_pretrained wrote (Phi,
    Llama, Qwen, Mixtral, OLMoE and others).

    Every file is reloaded by transformers and by llama.cpp and compared before it is handed over.
    """
    from archsmith.cli._live import watcher
    from archsmith.units import format_bytes
    from archsmith.workflow.continuing import export_source

    with watcher(quiet=quiet) as watching:
        found = export_source(
            source,
            formats=formats,
            quantization=None if quantization is None else quantization.upper(),
            output_dir=output_dir,
            overwrite=force,
            watcher=watching,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for file in found.gate.files:
        click.echo(
            f"{file.name}: {format_bytes(file.num_bytes)}, {found.decode_ms_per_token:.3g} ms a "
            f"token here; KL {file.kl_nats:.2g} nats from float32, same likeliest token "
            f"{file.top1_agreement:.1%}"
        )
    gate = found.gate
    if gate.runtime_kl_nats is not None:
        click.echo(
            f"checked: {gate.num_tensors} tensors, {gate.num_texts} texts, KL "
            f"{gate.runtime_kl_nats:.1e} nats between llama.cpp and {gate.transformers_class}"
        )
    for limit in gate.limits:
        click.echo(f"keep in mind: {limit}")
    for path in found.paths:
        click.echo(path)

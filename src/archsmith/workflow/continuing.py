"""Take what a study has so far and make a finished model of it: `train` and `export`."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from archsmith.config import Spec
from archsmith.device.profile import lone_threads
from archsmith.errors import ConfigError
from archsmith.export.carriers import carrier_of, unsupported
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate import GateReport, check_export
from archsmith.export.latency import decode_ms_per_token
from archsmith.export.reading.folder import is_huggingface_folder
from archsmith.export.roundtrip import requantized
from archsmith.store.records import TrialRecord
from archsmith.study import Study, load_study
from archsmith.workflow.handover import TRANSFORMERS, own_logits, write_gguf
from archsmith.workflow.model_folder import (
    FinishedModel,
    TrainedModel,
    is_model_folder,
    load_model_folder,
)
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import load_search_config
from archsmith.workflow.selection import trained_trunk
from archsmith.workflow.stock_model import load_stock_model
from archsmith.workflow.watcher import Watcher


class Exported(Spec):
    """What `export` wrote and found; llama.cpp's time is None where it cannot hold the network."""

    paths: tuple[str, ...]
    gate: GateReport
    decode_ms_per_token: float | None


def train_trial(
    config_file: Path,
    *,
    trial: int | None,
    output_dir: Path,
    train_bytes: int | None = None,
    max_seconds: float | None = None,
    watcher: Watcher | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Extend a trial's trunk (the best one's by default) and cool it down into `output_dir`.

    A trial that has nothing but an inherited score is trained from scratch.

    Raises:
        ConfigError: there is no such trial, or it has no checkpoint.
        StoreError: there is no such study.
    """
    config, root = load_search_config(config_file)
    pipeline = Pipeline(config, root=root, watcher=watcher)
    study = load_study(study_name=pipeline.name, storage=pipeline.store)
    chosen = choose_trial(study, trial)
    trunk = trained_trunk(chosen)
    return pipeline.train_arm(
        f"trial {chosen.number}",
        chosen.architecture,
        recipe=pipeline.stored_recipe(),
        output_dir=output_dir,
        max_seconds=max_seconds,
        train_bytes=train_bytes,
        checkpoint=None if trunk is None else study.checkpoint_root / trunk.checkpoint_out,
        num_threads=min(pipeline.threads, lone_threads()),
        should_stop=should_stop,
    )


def export_source(
    source: Path,
    *,
    formats: Sequence[str],
    output_dir: Path,
    quantization: str | None = None,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> Exported:
    """Export a model folder, a transformers folder, or what a search file has.

    That is the model a finished search recommends, and before its end the best trial so far, which
    is cooled down at once.

    Raises:
        ConfigError: the source is none of them, or holds what archsmith does not compute.
        CheckpointError: its weights are damaged.
        ExportError, GateError: a file exists already, or does not compute what the model does.
    """
    model: FinishedModel
    if is_huggingface_folder(source):
        model = load_stock_model(source)
    elif source.is_dir():
        model = load_model_folder(source)
    elif source.suffix == ".toml":
        model = _best_of_search(source, output_dir / "model", watcher or Watcher())
    else:
        raise ConfigError(
            f"{source}: give a model folder that 'archsmith train' wrote, a transformers "
            "folder, or a .toml"
        )
    return export_trained(
        model,
        formats=formats,
        output_dir=output_dir,
        quantization=quantization,
        overwrite=overwrite,
    )


def export_trained(
    model: FinishedModel,
    *,
    formats: Sequence[str],
    output_dir: Path,
    quantization: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a finished model's files and hold them against it in both runtimes.

    llama.cpp is the second witness even where its file is not asked for, unless it has no
    architecture that holds the network. Raises ExportError, GateError.
    """
    architecture = requantized(model.architecture, quantization or model.architecture.quantization)
    facts: dict[str, Any] = {"name": model.folder.name, "tokenizer_hash": model.tokenizer.hash}
    carrier_of(
        architecture, ("huggingface", *formats)
    )  # or the reasons, before anything is written
    with_gguf = "gguf" in formats or not unsupported(architecture, ("gguf",))
    written: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="archsmith-export-") as spare:
        # what was not asked for is not kept
        folder = (output_dir if "huggingface" in formats else Path(spare)) / TRANSFORMERS
        HUGGINGFACE.write(
            folder,
            weights=model.weights,
            architecture=architecture,
            tokenizer=model.tokenizer,
            metadata=facts,
            overwrite=overwrite,
        )
        if with_gguf:
            path = write_gguf(
                model,
                output_dir if "gguf" in formats else Path(spare),
                architecture.quantization,
                metadata=facts,
                overwrite=overwrite,
            )
            written.append(path)
        gate = check_export(
            architecture=architecture,
            weights=model.weights,
            tokenizer=model.tokenizer,
            huggingface=folder,
            gguf=written,
            reference=own_logits(model),
        )
        written = [path for path in (*written, folder) if not path.is_relative_to(spare)]
    timing = decode_ms_per_token([architecture])[0] if with_gguf else None
    return Exported(
        paths=tuple(str(path) for path in written),
        gate=gate,
        decode_ms_per_token=None if timing is None else timing.median_ms,
    )


def choose_trial(study: Study, number: int | None) -> TrialRecord:
    """A trial with a checkpoint: the one asked for, or the best. Raises ConfigError."""
    if number is None:
        best = study.best_trials
        if not best:
            raise ConfigError(
                f"study '{study.study_name}' has no finished trial yet; "
                "'archsmith status' shows what it has"
            )
        return best[0]
    found = next((trial for trial in study.trials if trial.number == number), None)
    if found is None:
        raise ConfigError(
            f"study '{study.study_name}' has no trial {number}; "
            f"it has {len(study.trials)}, from 0 on"
        )
    if found.rung < 0:
        raise ConfigError(f"trial {number} was never trained ({found.reason or found.state.value})")
    return found


def _best_of_search(config_file: Path, output_dir: Path, watcher: Watcher) -> TrainedModel:
    """What a finished search recommends; before, the best trial as it is, cooled down."""
    config, root = load_search_config(config_file)
    pipeline = Pipeline(config, root=root)
    found = pipeline.recommended()
    if found is not None:
        watcher.note(f"this search is finished and recommends the {found[0]}")
        return found[1]
    if is_model_folder(output_dir):
        return load_model_folder(output_dir)
    study = load_study(study_name=pipeline.name, storage=pipeline.store)
    trial = choose_trial(study, None)
    trunk = trained_trunk(trial)
    if trunk is None:
        raise ConfigError(
            f"trial {trial.number}, the best so far, has an inherited score and was not trained "
            "itself; 'archsmith train' trains it from scratch, and its folder can be exported"
        )
    return train_trial(
        config_file,
        trial=trial.number,
        output_dir=output_dir,
        # the trunk has all this text already: what is left is the cooldown
        train_bytes=trunk.train_bytes,
        watcher=watcher,
    )

"""A model folder: a finished model as `archsmith train` leaves it, before any export.

`weights.safetensors` (float32, canonical names), `architecture.json`, `tokenizer.json`,
`training.json`. Nothing in it is pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, load_json
from archsmith.data.storage import (
    clear_write_errors,
    file_hash,
    make_folder,
    partial_path,
    publish,
    write_tensors,
    write_text,
)
from archsmith.data.tokenizer import Tokenizer
from archsmith.device.profile import own_profile
from archsmith.device.training_choice import KernelChoice
from archsmith.errors import CheckpointError, ConfigError
from archsmith.train.recipe import Recipe

WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
TOKENIZER = "tokenizer.json"
RECORD = "training.json"


class TrainingRecord(Spec):
    """What was spent and seen while a model was trained.

    Attributes:
        train_seconds, train_bytes, train_tokens, steps, flops: of all updates, cooldown included.
        wall_seconds: everything, scoring and saving included.
        epochs: times the training text was read.
        train_bits_per_byte: of training text, smoothed, at the end of the constant rate.
        curve: (train_bytes, train_seconds, held-out bits per byte); the last is cooled down.
        kernels: how this device computed it; None in records from before there was a choice.
        experts: how evenly tokens spread over experts in the last updates, see
            `train.balancing.expert_details`; empty without experts.
        from_checkpoint: the trunk it was extended from.
        weights_sha256: of the file of weights, set when it is written.
    """

    train_seconds: float
    wall_seconds: float
    train_bytes: int
    train_tokens: int
    steps: int
    flops: float
    epochs: float
    seed: int
    num_threads: int
    dtype: str
    recipe: Recipe
    kernels: KernelChoice | None = None
    experts: Mapping[str, Any] = {}
    train_bits_per_byte: float | None = None
    curve: tuple[tuple[int, float, float], ...] = ()
    from_checkpoint: str | None = None
    weights_sha256: str = ""

    def flops_utilization(self) -> float | None:
        """Share of this machine's measured ceiling that training reached.

        None where the machine was not measured ('archsmith device probe').
        """
        profile = own_profile()
        if profile is None:
            return None
        return profile.utilization(self.flops, self.train_seconds, num_threads=self.num_threads)


@dataclass(frozen=True, kw_only=True)
class FinishedModel:
    """A model in memory, wherever it was trained. Weights are float32 by canonical name."""

    folder: Path
    architecture: Architecture
    tokenizer: Tokenizer
    weights: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TrainedModel(FinishedModel):
    """A model that archsmith trained, with the record of it."""

    record: TrainingRecord


def write_model_folder(model: TrainedModel) -> TrainedModel:
    """Write the folder; each file whole or not at all, the record last. Raises ConfigError.

    Returns the model as it is read back, with the hash of its weights in the record.
    """
    make_folder(model.folder)
    path = model.folder / WEIGHTS
    with clear_write_errors(path):
        partial = partial_path(path)
        write_tensors(partial, {k: np.ascontiguousarray(w) for k, w in model.weights.items()})
        digest = file_hash(partial)
        publish(partial, path)
        model.tokenizer.save(model.folder / TOKENIZER)
    write_text(model.folder / ARCHITECTURE, model.architecture.model_dump_json(indent=1))
    written = replace(model, record=model.record.model_copy(update={"weights_sha256": digest}))
    write_text(model.folder / RECORD, written.record.model_dump_json(indent=1))
    return written


def is_model_folder(folder: Path) -> bool:
    """Whether a finished model lies there."""
    return (folder / RECORD).is_file() and (folder / WEIGHTS).is_file()


def load_model_folder(folder: Path) -> TrainedModel:
    """Read a model folder. Raises CheckpointError."""
    needed = (WEIGHTS, ARCHITECTURE, TOKENIZER, RECORD)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: not a model folder, it lacks {', '.join(missing)}; "
            "'archsmith train' writes one"
        )
    file = folder / WEIGHTS
    try:
        architecture = load_json(Architecture, folder / ARCHITECTURE)
        record = load_json(TrainingRecord, folder / RECORD)
        tokenizer = Tokenizer.from_file(folder / TOKENIZER)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: damaged: {error}") from None
    try:
        if record.weights_sha256 and file_hash(file) != record.weights_sha256:
            raise CheckpointError(f"{file}: damaged: its content is not what was written")
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: damaged: {error}") from None
    return TrainedModel(
        folder=folder,
        architecture=architecture,
        tokenizer=tokenizer,
        weights=weights,
        record=record,
    )

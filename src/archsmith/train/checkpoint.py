"""Checkpoints: a folder of safetensors files and the JSON manifest that names and hashes them.

Tensor files carry their hash in their name and are flushed to the disk before the manifest is
renamed into place, so a kill at any instant leaves the old checkpoint or the new one. Nothing is
pickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.data import storage
from archsmith.data.storage import (
    clear_write_errors,
    file_hash,
    make_folder,
    partial_path,
    publish,
    remove_leftovers,
    write_text,
)
from archsmith.device.training_choice import KernelChoice
from archsmith.errors import CheckpointError
from archsmith.train.recipe import Recipe

MANIFEST = "manifest.json"
WEIGHTS = "weights"
OPTIMIZER = "optimizer"
AnyManifest = TypeVar("AnyManifest", bound=Spec)


class TensorFile(Spec):
    """One file of tensors beside the manifest."""

    name: str
    sha256: str


class Manifest(Spec):
    """Everything of a trunk that is not a tensor."""

    format: Literal["archsmith-trunk"] = "archsmith-trunk"
    version: Literal[1] = 1
    architecture: Architecture
    recipe: Recipe
    seed: int
    context_tokens: PositiveInt
    step: NonNegativeInt
    train_seconds: NonNegativeFloat
    branch_seconds: NonNegativeFloat
    branch_steps: NonNegativeInt
    smoothed_nats: NonNegativeFloat
    tokenizer_hash: str
    corpus_hash: str
    num_tokens: PositiveInt
    dtype: Literal["float32", "bfloat16"]
    device: str
    kernels: KernelChoice = KernelChoice()  # as all were computed before there was a choice
    num_threads: PositiveInt
    torch_version: str
    files: Mapping[str, TensorFile] = {}


def write_checkpoint(
    path: Path, manifest: Manifest, tensors: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Write a checkpoint folder, or replace the one there. Raises ConfigError."""
    make_folder(path)
    remove_leftovers(path)
    files = {kind: write_tensors(path, kind, content) for kind, content in tensors.items()}
    manifest = manifest.model_copy(update={"files": files})
    write_text(path / MANIFEST, manifest.model_dump_json(indent=1))
    current = {file.name for file in files.values()}
    for old in path.glob("*.safetensors"):
        if old.name not in current and not old.name.startswith("."):
            old.unlink(missing_ok=True)


def write_tensors(folder: Path, stem: str, tensors: Mapping[str, Tensor]) -> TensorFile:
    """Write `STEM-HASH.safetensors`, float32. Raises ConfigError."""
    partial = partial_path(folder / f"{stem}.safetensors")
    arrays = {
        name: np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        for name, tensor in tensors.items()
    }
    with clear_write_errors(folder):
        try:
            storage.write_tensors(partial, arrays)
            digest = file_hash(partial)
            name = f"{stem}-{digest[:16]}.safetensors"
            publish(partial, folder / name)
        finally:
            partial.unlink(missing_ok=True)
    return TensorFile(name=name, sha256=digest)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a checkpoint folder. Raises CheckpointError."""
    return read_manifest_as(Manifest, path, what="checkpoint", remedy="start again without it")


def read_manifest_as(kind: type[AnyManifest], path: Path, *, what: str, remedy: str) -> AnyManifest:
    """The manifest of a folder, of a kind that has `format` and `version`. Raises CheckpointError.

    Args:
        what: the folder holds, for the errors' sentences. remedy: what helps against damage.
    """
    file = path / MANIFEST
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no {what} here ({MANIFEST} is missing)") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{file}: damaged: {error}; {remedy}") from None
    known = {name: kind.model_fields[name].default for name in ("format", "version")}
    if not isinstance(data, dict) or data.get("format") != known["format"]:
        raise CheckpointError(f"{file}: not the manifest of an archsmith {what}")
    if data.get("version") != known["version"]:
        raise CheckpointError(
            f"{file}: written by another version (format {data.get('version')}, this one reads "
            f"{known['version']})"
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{file}: damaged: {where}: {first['msg']}") from None


def read_tensors(
    path: Path, files: Mapping[str, TensorFile], kind: str, *, what: str = "checkpoint"
) -> dict[str, np.ndarray]:
    """The tensors of one kind, checked against their hash. Raises CheckpointError.

    Args:
        files: what the folder's manifest names.
    """
    if kind not in files:
        raise CheckpointError(f"{path / MANIFEST}: damaged: it names no file of {kind}")
    file = path / files[kind].name
    try:
        if file_hash(file) != files[kind].sha256:
            raise CheckpointError(f"{file}: damaged: its content is not what was written")
        return load_file(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: missing; the {what} is incomplete") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from None


def restore(tensors: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Copy arrays into live tensors of the same names. Raises CheckpointError."""
    for name, tensor in tensors.items():
        if name not in arrays or arrays[name].shape != tuple(tensor.shape):
            raise CheckpointError(f"{file}: the checkpoint has no fitting tensor {name}")
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(arrays[name]))

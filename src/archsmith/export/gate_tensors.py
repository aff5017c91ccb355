"""The gate's second question: does every written tensor hold what was to be written?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.errors import GateError, MissingExtraError
from archsmith.export.formats.huggingface import STORED, Dtype, tensor_bytes
from archsmith.export.layout import StoredTensor, stored_tensor
from archsmith.export.llamacpp import quantize
from archsmith.export.plans import gguf_plan, huggingface_plan
from archsmith.export.quantization import FILE_TYPES
from archsmith.export.roundtrip import requantized


def check_huggingface_tensors(
    folder: Path, architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> int:
    """Every tensor of `model.safetensors` equals the weights, to the file's precision.

    Returns their number. Raises GateError naming the tensor.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise GateError(f"{path} is missing")
    plans = {plan.name: plan for plan in huggingface_plan(architecture)}
    data = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8:start].tobytes())
    except ValueError as error:
        raise GateError(f"{path.name} is damaged or cut short: {error}") from None
    header.pop("__metadata__", None)
    _same_names(set(plans), set(header), path.name)
    names: dict[str, Dtype] = {code: name for name, (code, _) in STORED.items()}
    for name, plan in plans.items():
        entry = header[name]
        first, last = (start + offset for offset in entry["data_offsets"])
        expected = tensor_bytes(plan.assemble(weights), names[entry["dtype"]])
        if tuple(entry["shape"]) != plan.shape or data[first:last].tobytes() != expected:
            raise GateError(f"{path.name}: tensor '{name}' is not what was to be written")
    return len(plans)


def check_gguf_tensors(
    path: Path, architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> int:
    """Every tensor of a GGUF file holds the bytes that quantizing the weights gives.

    Returns their number. Raises GateError naming the tensor.
    """
    reader = open_gguf(path)
    architecture = requantized(architecture, file_quantization(reader, path))
    stored = {tensor.name: tensor for tensor in reader.tensors}
    plans = gguf_plan(architecture)
    _same_names({plan.name for plan in plans}, set(stored), path.name)
    for plan in plans:
        found, kind = stored[plan.name], stored_tensor(architecture, plan)
        if found.tensor_type.name != kind.ggml_type:
            raise GateError(
                f"{path.name}: tensor '{plan.name}' is stored as {found.tensor_type.name}, "
                f"expected {kind.ggml_type}"
            )
        expected = _as_stored(plan.assemble(weights), kind)
        if not np.array_equal(np.asarray(found.data).reshape(-1).view(np.uint8), expected):
            raise GateError(f"{path.name}: tensor '{plan.name}' is not what was to be written")
    return len(plans)


def _as_stored(data: np.ndarray, kind: StoredTensor) -> np.ndarray:
    if data.ndim == 1:
        return data.view(np.uint8)
    return quantize(kind.ggml_type, data).reshape(-1)


def _same_names(expected: set[str], found: set[str], file_name: str) -> None:
    if missing := sorted(expected - found):
        raise GateError(f"{file_name}: tensor '{missing[0]}' is missing")
    if extra := sorted(found - expected):
        raise GateError(f"{file_name}: tensor '{extra[0]}' does not belong to the architecture")


def open_gguf(path: Path) -> Any:
    """A reader of the file. Raises GateError if it is damaged."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingExtraError("reading GGUF files", "export") from None
    try:
        return GGUFReader(path)
    except FileNotFoundError:
        raise GateError(f"{path} is missing") from None
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise GateError(f"{path.name} is damaged or cut short: {error}") from None


def file_quantization(reader: Any, path: Path) -> str:
    """The quantization a file declares. Raises GateError if archsmith writes none such."""
    field = reader.get_field("general.file_type")
    number = None if field is None else field.contents()
    for name, (_, file_type) in FILE_TYPES.items():
        if file_type == number:
            return name
    raise GateError(f"{path.name}: general.file_type {number} is none that archsmith writes")

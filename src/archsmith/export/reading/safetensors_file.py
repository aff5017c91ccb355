"""The tensors of a safetensors file or of a sharded folder, read one range at a time as float32.

The format is a length, a JSON header and the tensors' bytes (github.com/huggingface/safetensors).
The library's numpy side knows no bfloat16, so bytes are read here. Every offset is checked against
the file's size before anything is read, and nothing in the file is ever run.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archsmith.config import read_text
from archsmith.errors import CheckpointError, ConfigError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS = ("I64", "U64", "I32", "U32", "I16", "U16", "I8", "U8", "BOOL")
_LONGEST_HEADER = 100_000_000  # the format's own limit


class StoredTensor(NamedTuple):
    """A tensor where it lies: `start` is its first byte in the file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> np.ndarray:
        """All of it, float32."""
        return self.elements(0, math.prod(self.shape)).reshape(self.shape)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """A range along the first axis, float32."""
        row = math.prod(self.shape[1:])
        return self.elements(start * row, stop * row).reshape(stop - start, *self.shape[1:])

    def elements(self, start: int, stop: int) -> np.ndarray:
        """A range of the flattened tensor, float32. Raises CheckpointError."""
        if self.dtype not in _NUMPY:
            kind = "whole numbers" if self.dtype in _INTEGERS else "a quantized format"
            raise CheckpointError(
                f"{self.path}: {self.name} is stored as {self.dtype}, {kind}; archsmith reads "
                "F32, F16, BF16 and F64: save the model dequantized"
            )
        stored: np.dtype[Any] = np.dtype(_NUMPY[self.dtype])
        try:
            found = np.fromfile(
                self.path, stored, count=stop - start, offset=self.start + start * stored.itemsize
            )
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error}") from None
        if self.dtype == "BF16":  # the upper half of a float32
            return (found.astype("<u4") << 16).view("<f4")
        return found.astype(np.float32, copy=False)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a transformers folder by name, in one file or in shards.

    Raises ConfigError where the folder holds no safetensors, CheckpointError where one is damaged.
    """
    if (folder / WEIGHTS).is_file():
        return {tensor.name: tensor for tensor in _tensors_of(folder / WEIGHTS)}
    if (folder / INDEX).is_file():
        return _sharded(folder)
    if any(folder.glob("*.bin")):
        raise ConfigError(
            f"{folder}: holds weights as pickles (.bin), which are not opened; "
            "save them with save_pretrained, which writes safetensors"
        )
    raise ConfigError(f"{folder}: holds neither {WEIGHTS} nor {INDEX}")


def _sharded(folder: Path) -> dict[str, StoredTensor]:
    path = folder / INDEX
    try:
        places = json.loads(read_text(path))["weight_map"]
        names = sorted(set(places.values()))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged: no map of weights: {error!r}") from None
    found: dict[str, StoredTensor] = {}
    for name in names:
        shard = folder / Path(name).name  # beside the index, wherever the name points
        if not shard.is_file():
            raise CheckpointError(f"{folder}: lacks {shard.name}, which {INDEX} names")
        found |= {tensor.name: tensor for tensor in _tensors_of(shard)}
    if missing := sorted(set(places) - set(found)):
        raise CheckpointError(
            f"{folder}: {places[missing[0]]} lacks the tensor {missing[0]}, which {INDEX} names"
        )
    return found


def _tensors_of(path: Path) -> Iterator[StoredTensor]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise CheckpointError(f"{path}: damaged: {size} bytes do not hold its header")
            header = json.loads(file.read(length))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: damaged: its header describes no tensors")
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        yield _checked(path, name, entry, start=8 + length, size=size)


def _checked(path: Path, name: str, entry: Any, *, start: int, size: int) -> StoredTensor:
    try:
        dtype, shape = str(entry["dtype"]), tuple(int(n) for n in entry["shape"])
        first, last = (int(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {name} is badly described: {error!r}") from None
    if not 0 <= first <= last or min(shape, default=0) < 0:
        raise CheckpointError(f"{path}: damaged: {name} lies at bytes {first} to {last}")
    if start + last > size:
        raise CheckpointError(
            f"{path}: damaged: it ends at byte {size}, {name} at byte {start + last}; "
            "copy or download the file again"
        )
    known = _NUMPY.get(dtype)
    if known and last - first != math.prod(shape) * np.dtype(known).itemsize:
        raise CheckpointError(
            f"{path}: damaged: {name} of shape {shape} in {dtype} takes {last - first} bytes"
        )
    return StoredTensor(path, name, dtype, shape, start + first)

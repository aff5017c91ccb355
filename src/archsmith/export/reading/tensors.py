"""Canonical weights from the tensors of a transformers folder.

Classes differ in names (a family lists them) and in what they join: q, k and v in one matrix; gate
and up in one; experts one by one, as published, or stacked along a first axis, as transformers 5
holds them in memory. Every form is taken apart here, and nothing may be left over: a tensor without
a place would be a part of the network that archsmith does not compute.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.errors import CheckpointError, ConfigError
from archsmith.export.reading.base import Family
from archsmith.export.reading.safetensors_file import StoredTensor
from archsmith.export.shapes import Shapes, canonical_shapes

_JOINED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}
_EXPERTS = re.compile(r"(.*\.mlp\.experts)\.(gate|up|down)_proj")
# tables that older versions stored, and heads that predict further tokens
_IDLE = re.compile(r".*rotary_emb\.inv_freq|model\.mtp\..*")
_SINKS = "self_attn.sinks"
_NO_SINK = -1e3  # exp of it is 0 in float32 beside any score


class _Pending:
    """Stored tensors by canonical-like names, and which of them have found their place."""

    def __init__(self, stored: Mapping[str, StoredTensor], family: Family, folder: Path) -> None:
        self.folder = folder
        self._tensors = {_renamed(name, family): tensor for name, tensor in stored.items()}
        self._left = set(self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str, shape: tuple[int, ...]) -> StoredTensor:
        """A tensor of this shape. Raises CheckpointError."""
        found = self._tensors.get(name)
        if found is None:
            raise CheckpointError(
                f"{self.folder}: the weights lack {name} of shape {shape}, "
                "which config.json asks for"
            )
        if found.shape != shape:
            raise CheckpointError(
                f"{found.path}: {found.name} has shape {found.shape}, config.json asks for {shape}"
            )
        self._left.discard(name)
        return found

    def left(self) -> Iterator[tuple[str, StoredTensor]]:
        """What nobody took."""
        return ((name, self._tensors[name]) for name in sorted(self._left))


def canonical_weights(
    architecture: Architecture,
    stored: Mapping[str, StoredTensor],
    family: Family,
    *,
    folder: Path,
    scales: Mapping[str, float],
) -> dict[str, np.ndarray]:
    """Every weight of `architecture` by canonical name, float32.

    Args:
        scales: factors by the end of a canonical name.

    Raises CheckpointError naming a tensor that is missing, of another shape, or without a place;
    ConfigError for attention sinks.
    """
    shapes = canonical_shapes(architecture)
    pending = _Pending(stored, family, folder)
    weights = {name: _assemble(name, shapes, pending) for name in shapes}
    for name, weight in weights.items():
        factor = next((f for end, f in scales.items() if name.endswith(end)), 1.0)
        if factor != 1.0:
            weights[name] = weight * np.float32(factor)
    for name, tensor in pending.left():
        _explain(name, tensor, tied=architecture.tie_word_embeddings)
    return weights


def _renamed(name: str, family: Family) -> str:
    for stored, ours in family.names:
        name = name.replace(stored, ours)
    return name


def _assemble(name: str, shapes: Shapes, pending: _Pending) -> np.ndarray:
    if name in pending:
        return pending.take(name, shapes[name]).read()
    if match := _EXPERTS.fullmatch(name):
        return _expert_matrices(match[1], match[2], shapes, pending)
    prefix, block, kind = _split(name)
    for whole, parts in _JOINED.items():
        joined = f"{prefix}{whole}.{kind}"
        if block in parts and joined in pending:
            sizes = {part: shapes[f"{prefix}{part}.{kind}"][0] for part in parts}
            shape = (sum(sizes.values()), *shapes[name][1:])
            start = sum(sizes[part] for part in parts[: parts.index(block)])
            return pending.take(joined, shape).rows(start, start + sizes[block])
    return pending.take(name, shapes[name]).read()  # says that it is missing


def _expert_matrices(prefix: str, kind: str, shapes: Shapes, pending: _Pending) -> np.ndarray:
    """One matrix of every expert, [experts, outputs, inputs]."""
    shape = shapes[f"{prefix}.{kind}_proj"]
    num_experts, outputs, inputs = shape
    if f"{prefix}.gate_up_proj" in pending and kind != "down":
        both = pending.take(f"{prefix}.gate_up_proj", (num_experts, 2 * outputs, inputs))
        second = int(kind == "up")
        size = outputs * inputs
        found = np.empty(shape, dtype=np.float32)
        for expert in range(num_experts):
            start = (2 * expert + second) * size
            found[expert] = both.elements(start, start + size).reshape(outputs, inputs)
        return found
    return np.stack(
        [
            pending.take(f"{prefix}.{expert}.{kind}_proj.weight", (outputs, inputs)).read()
            for expert in range(num_experts)
        ]
    )


def _split(name: str) -> tuple[str, str, str]:
    """(`model.layers.0.`, `self_attn.q_proj`, `weight`); the first is empty outside layers."""
    match = re.fullmatch(r"(model\.layers\.\d+\.)?(.*)\.(\w+)", name)
    assert match is not None, f"{name} is no canonical name"
    return match[1] or "", match[2], match[3]


def _explain(name: str, tensor: StoredTensor, *, tied: bool) -> None:
    """Refuse a tensor that nobody took, unless it takes no part in inference."""
    if _IDLE.fullmatch(name) or (tied and name == "lm_head.weight"):
        return
    if name.endswith(_SINKS):
        if (tensor.read() <= _NO_SINK).all():
            return
        raise ConfigError(
            f"{tensor.path}: {tensor.name} holds attention sinks, which archsmith does not "
            f"compute; sinks of {_NO_SINK:g} or less, which take no weight, are read"
        )
    raise CheckpointError(
        f"{tensor.path}: {tensor.name} has no place in the network that config.json describes; "
        "archsmith would compute something else without it"
    )

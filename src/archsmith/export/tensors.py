"""How one written tensor follows from canonical weights: joined, interleaved for RoPE, or constant.

A carrier describes its files as lists of `TensorPlan`, so that sizes (no weights needed), writing
and checking read the same description.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archsmith.export.shapes import Shapes


class TensorPlan(NamedTuple):
    """One tensor of a file.

    Attributes:
        name: in the file, without the layer's prefix.
        shape: [outputs, inputs] or [width], as in numpy.
        parts: canonical names joined along the outputs; empty for a constant tensor.
        interleaved_heads: heads whose rows go from half-split to interleaved rotary order
            (llama.cpp's `llama` and `granite_swa`); 0 to leave the rows.
        fill: the value of a constant tensor.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[str, ...] = ()
    interleaved_heads: int = 0
    fill: float = 0.0

    def placed(self, prefix: str, canonical_prefix: str) -> "TensorPlan":
        """The plan of one layer's tensor, from the plan common to all layers."""
        parts = tuple(canonical_prefix + part for part in self.parts)
        return self._replace(name=prefix + self.name, parts=parts)

    def assemble(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The tensor's values, float32."""
        if not self.parts:
            return np.full(self.shape, self.fill, dtype=np.float32)
        found = [np.asarray(weights[part], dtype=np.float32) for part in self.parts]
        data = found[0] if len(found) == 1 else np.concatenate(found)
        if self.interleaved_heads:
            data = interleave(data, self.interleaved_heads)
        return np.ascontiguousarray(data)

    def disassemble(
        self, data: np.ndarray, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, np.ndarray]:
        """The inverse of `assemble`: canonical weights from a written tensor's values."""
        if self.interleaved_heads:
            data = deinterleave(data, self.interleaved_heads)
        ends = np.cumsum([shapes[part][0] for part in self.parts])[:-1]
        return dict(zip(self.parts, np.split(data, ends), strict=True))


def interleave(rows: np.ndarray, num_heads: int) -> np.ndarray:
    """Rows of each head from (first halves, second halves) to pairs that are rotated together."""
    halves = rows.reshape(num_heads, 2, rows.shape[0] // num_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def deinterleave(rows: np.ndarray, num_heads: int) -> np.ndarray:
    """The inverse of `interleave`."""
    pairs = rows.reshape(num_heads, rows.shape[0] // num_heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def renamed(
    shapes: Shapes,
    names: Mapping[str, str],
    *,
    interleaved: Mapping[str, int] | None = None,
) -> list[TensorPlan]:
    """Plans that carry each canonical tensor alone, its block renamed where `names` has it."""
    plans = []
    for name, shape in shapes.items():
        block, _, kind = name.rpartition(".")
        heads = (interleaved or {}).get(block, 0)
        plans.append(TensorPlan(f"{names.get(block, block)}.{kind}", shape, (name,), heads))
    return plans


def joined(name: str, parts: Sequence[str], shapes: Shapes) -> TensorPlan:
    """A plan that stacks several matrices with the same inputs."""
    outputs = sum(shapes[part][0] for part in parts)
    return TensorPlan(name, (outputs, *shapes[parts[0]][1:]), tuple(parts))

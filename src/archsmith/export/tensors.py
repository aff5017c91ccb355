"""How one written tensor follows from canonical weights: joined, cut, padded, reordered, constant.

A carrier describes its files as lists of `TensorPlan`, so that sizes (no weights needed), writing
and checking read the same description.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from archsmith.export.shapes import Shapes


class Stretch(NamedTuple):
    """An axis made longer without changing what the network computes.

    Attributes:
        axis: which one.
        groups: the axis is that many equal runs, each made longer by the same factor.
        size: the entries of the axis afterwards.
        by: `zeros` behind each run, or whole copies of the run (`copies`).
    """

    axis: int
    groups: int
    size: int
    by: Literal["zeros", "copies"] = "zeros"

    def apply(self, data: np.ndarray) -> np.ndarray:
        """`data` with the longer axis."""
        run, longer = data.shape[self.axis] // self.groups, self.size // self.groups
        runs = self._runs(data)
        if self.by == "copies":
            copies = [1] * runs.ndim
            copies[self.axis + 1] = longer // run
            runs = np.tile(runs, copies)
        else:
            widths = [(0, 0)] * runs.ndim
            widths[self.axis + 1] = (0, longer - run)
            runs = np.pad(runs, widths)
        return runs.reshape(*data.shape[: self.axis], self.size, *data.shape[self.axis + 1 :])

    def undo(self, data: np.ndarray, size: int) -> np.ndarray:
        """The inverse: an axis of `size` entries again."""
        kept = self._runs(data).take(range(size // self.groups), axis=self.axis + 1)
        return kept.reshape(*data.shape[: self.axis], size, *data.shape[self.axis + 1 :])

    def _runs(self, data: np.ndarray) -> np.ndarray:
        run = data.shape[self.axis] // self.groups
        head, tail = data.shape[: self.axis], data.shape[self.axis + 1 :]
        return data.reshape(*head, self.groups, run, *tail)


class TensorPlan(NamedTuple):
    """One tensor of a file.

    Attributes:
        name: in the file, without the layer's prefix.
        shape: [outputs, inputs], [experts, outputs, inputs] or [width], as in numpy.
        parts: canonical names joined along the outputs; empty for a constant tensor.
        interleaved_heads: heads whose rows go from half-split to interleaved rotary order
            (llama.cpp's `llama`, `deci` and `granite_swa`); 0 to leave the rows.
        fill: the value of a constant tensor.
        values: a constant tensor's values one by one, instead of `fill`.
        expert: the one expert of a stacked part that the tensor holds.
        stretches: axes made longer, in this order.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[str, ...] = ()
    interleaved_heads: int = 0
    fill: float = 0.0
    values: tuple[float, ...] = ()
    expert: int | None = None
    stretches: tuple[Stretch, ...] = ()

    def placed(self, prefix: str, canonical_prefix: str) -> "TensorPlan":
        """The plan of one layer's tensor, from the plan common to all layers."""
        parts = tuple(canonical_prefix + part for part in self.parts)
        return self._replace(name=prefix + self.name, parts=parts)

    def stretched(self, *stretches: Stretch) -> "TensorPlan":
        """The plan with longer axes; those that have the size already are left alone."""
        wanted = tuple(s for s in stretches if s.size != self.shape[s.axis])
        shape = list(self.shape)
        for stretch in wanted:
            shape[stretch.axis] = stretch.size
        return self._replace(shape=tuple(shape), stretches=wanted)

    def assemble(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The tensor's values, float32."""
        if self.values:
            return np.array(self.values, dtype=np.float32)
        if not self.parts:
            return np.full(self.shape, self.fill, dtype=np.float32)
        found = [np.asarray(weights[part], dtype=np.float32) for part in self.parts]
        if self.expert is not None:
            found = [part[self.expert] for part in found]
        data = found[0] if len(found) == 1 else np.concatenate(found)
        if self.interleaved_heads:
            data = interleave(data, self.interleaved_heads)
        for stretch in self.stretches:
            data = stretch.apply(data)
        # a gate of one output is a row in transformers and a vector in llama.cpp
        return np.ascontiguousarray(data.reshape(self.shape))

    def disassemble(
        self, data: np.ndarray, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, np.ndarray]:
        """The inverse of `assemble`: canonical weights from a written tensor's values.

        A tensor that holds one expert gives that expert's slice of the stacked weight.
        """
        for stretch in reversed(self.stretches):
            data = stretch.undo(data, self._size(stretch.axis, shapes))
        if self.interleaved_heads:
            data = deinterleave(data, self.interleaved_heads)
        if self.expert is not None or len(self.parts) == 1:
            shape = shapes[self.parts[0]]
            return {self.parts[0]: data.reshape(shape if self.expert is None else shape[1:])}
        ends = np.cumsum([shapes[part][0] for part in self.parts])[:-1]
        return dict(zip(self.parts, np.split(data, ends), strict=True))

    def _size(self, axis: int, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Entries of an axis before it was stretched."""
        found = [shapes[part] for part in self.parts]
        return sum(shape[0] for shape in found) if axis == 0 else found[0][axis]


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

"""One branch of the tagged union: a family with the choices a space offers, and what is valid.

A point of a branch is a tuple of indices, one per dimension. Everything that decides validity is
looked at once per width and kept, so that moving about costs microseconds.
"""

import bisect
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.space.dimensions import Dimension
from archsmith.space.families.base import Family, intermediate_size

Indices = tuple[int, ...]
Kind = tuple[int, ...]  # the indices of all dimensions that are not sizes

_SIZES = ("hidden_size", "num_hidden_layers", "intermediate_ratio", "vocabulary")


class Branch:
    """A family, its dimensions with their choices, and the combinations left out.

    Args:
        family: builds architectures from values.
        dimensions: with the choices offered; among them the four sizes (width, depth,
            feed-forward ratio, vocabulary), whose choices ascend.
        max_params: no architecture has more parameters.
        k_quant_fallback: offer K-quants at widths that are no multiple of 256 as well, where the
            file falls back to other block types.
        refused: kinds left out, as combinations of choices of `kind_dimensions`.
    """

    def __init__(
        self,
        family: Family,
        dimensions: Sequence[Dimension],
        *,
        max_params: int | None = None,
        k_quant_fallback: bool = False,
        refused: frozenset[tuple[Any, ...]] = frozenset(),
    ) -> None:
        self.family = family
        self.dimensions = tuple(dimensions)
        self.max_params = max_params
        self.k_quant_fallback = k_quant_fallback
        self.refused = refused
        self.slots = {dimension.name: slot for slot, dimension in enumerate(self.dimensions)}
        self.kind_slots = tuple(slot for name, slot in self.slots.items() if name not in _SIZES)
        self._structure_slots = tuple(
            slot for slot in self.kind_slots if self.dimensions[slot].name not in family.cosmetic
        )
        self._width, self._depth, self._ratio, self._vocabulary = (
            self.slots[name] for name in _SIZES
        )
        self._kinds: dict[int, tuple[Kind, ...]] = {}
        self._kind_sets: dict[int, frozenset[Kind]] = {}
        self._ratios: dict[int, tuple[int, ...]] = {}
        self._layer_params: dict[tuple[int, ...], int] = {}
        self._shell_params: dict[tuple[int, ...], int] = {}

    @property
    def kind_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that are not sizes."""
        return tuple(self.dimensions[slot] for slot in self.kind_slots)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Indices of the widths that have at least one valid point."""
        every = range(len(self.dimensions[self._width].choices))
        return tuple(width for width in every if self._fits(width))

    def with_dimensions(self, dimensions: Sequence[Dimension]) -> "Branch":
        """The same branch with other choices of the same dimensions."""
        return Branch(
            self.family,
            dimensions,
            max_params=self.max_params,
            k_quant_fallback=self.k_quant_fallback,
            refused=self.refused,
        )

    def without(self, kinds: frozenset[tuple[Any, ...]]) -> "Branch":
        """The same branch without these kinds, given as choices."""
        return Branch(
            self.family,
            self.dimensions,
            max_params=self.max_params,
            k_quant_fallback=self.k_quant_fallback,
            refused=self.refused | kinds,
        )

    def values(self, indices: Indices) -> dict[str, Any]:
        """The choices by name."""
        return {
            dimension.name: dimension.choices[index]
            for dimension, index in zip(self.dimensions, indices, strict=True)
        }

    def build(self, indices: Indices) -> Architecture:
        """The architecture at a valid point."""
        return self.family.build(self.values(indices))

    def locate(self, architecture: Architecture) -> Indices | None:
        """The indices of an architecture; None if it is no valid point of this branch."""
        values = self.family.values(architecture)
        if values is None:
            return None
        indices = []
        for dimension in self.dimensions:
            value = values[dimension.name]
            if dimension.name == "intermediate_ratio":
                index = self._ratio_index(dimension, values["hidden_size"], value)
            else:
                index = dimension.choices.index(value) if value in dimension.choices else None
            if index is None:
                return None
            indices.append(index)
        found = tuple(indices)
        return found if self.valid(found) and self.build(found) == architecture else None

    def nearest(self, values: Mapping[str, Any]) -> Indices | None:
        """The valid point nearest to `values`; a name that is missing gets its middle choice."""
        wanted = [
            dimension.nearest(values[dimension.name])
            if dimension.name in values
            else (len(dimension.choices) - 1) // 2
            for dimension in self.dimensions
        ]
        return self.settle(tuple(wanted))

    def valid(self, indices: Indices) -> bool:
        """Whether the choices go together and stay within `max_params`."""
        width = indices[self._width]
        return (
            self._kind(indices) in self.kind_set(width)
            and indices[self._ratio] in self.ratios(width)
            and (self.max_params is None or self.num_params(indices) <= self.max_params)
        )

    def settle(self, indices: Indices) -> Indices | None:
        """`indices` with the kind and the ratio moved to the nearest that fit the width.

        None where the width has none, or the result has too many parameters.
        """
        width = indices[self._width]
        kinds = self.kinds(width)
        if not kinds:
            return None
        settled = list(indices)
        kind = self._kind(indices)
        if kind not in self.kind_set(width):
            kind = min(kinds, key=lambda other: _distance(indices, self.kind_slots, other))
        for slot, index in zip(self.kind_slots, kind, strict=True):
            settled[slot] = index
        ratio = indices[self._ratio]
        settled[self._ratio] = min(self.ratios(width), key=lambda other: abs(other - ratio))
        found = tuple(settled)
        return found if self.valid(found) else None

    def kinds(self, width: int) -> tuple[Kind, ...]:
        """All kinds that go with a width."""
        if width not in self._kinds:
            self._kinds[width] = tuple(self._find_kinds(width))
        return self._kinds[width]

    def kind_set(self, width: int) -> frozenset[Kind]:
        """The same as a set."""
        if width not in self._kind_sets:
            self._kind_sets[width] = frozenset(self.kinds(width))
        return self._kind_sets[width]

    def ratios(self, width: int) -> tuple[int, ...]:
        """Feed-forward ratios that give different widths; of equal ones the first stands."""
        if width not in self._ratios:
            hidden_size = self.dimensions[self._width].choices[width]
            first: dict[int, int] = {}
            for index, ratio in enumerate(self.dimensions[self._ratio].choices):
                first.setdefault(intermediate_size(hidden_size, ratio), index)
            self._ratios[width] = tuple(first.values())
        return self._ratios[width]

    def depths(self, indices: Indices) -> int:
        """How many of the depths, the smallest first, stay within `max_params`."""
        choices = self.dimensions[self._depth].choices
        if self.max_params is None:
            return len(choices)
        layer, shell = self._layer(indices), self._shell(indices)
        return bisect.bisect_right(choices, (self.max_params - shell) // layer)

    def num_params(self, indices: Indices) -> int:
        """Parameters, from kept sums: layers are alike."""
        depth = self.dimensions[self._depth].choices[indices[self._depth]]
        return self._shell(indices) + depth * self._layer(indices)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The exact number of valid points of each of `widths`.

        Kinds that cannot change the parameters are counted, not visited; depths within
        `max_params` are found by bisection; everything else is enumerated.
        """
        vocabularies = range(len(self.dimensions[self._vocabulary].choices))
        found = []
        for width in self.widths:
            total = 0
            for (template, weight), ratio in product(self._structures(width), self.ratios(width)):
                for vocabulary in vocabularies:
                    template[self._ratio], template[self._vocabulary] = ratio, vocabulary
                    total += weight * self.depths(tuple(template))
            found.append(total)
        return tuple(found)

    def sample(self, rng: random.Random) -> Indices:
        """A point, uniformly: a width by its number of points, the rest by rejection."""
        width = rng.choices(self.widths, weights=self.counts)[0]
        chosen = [0] * len(self.dimensions)
        chosen[self._width] = width
        while True:
            for slot, index in zip(self.kind_slots, rng.choice(self.kinds(width)), strict=True):
                chosen[slot] = index
            chosen[self._ratio] = rng.choice(self.ratios(width))
            for slot in (self._vocabulary, self._depth):
                chosen[slot] = rng.randrange(len(self.dimensions[slot].choices))
            found = tuple(chosen)
            if found[self._depth] < self.depths(found):
                return found

    def points(self) -> Iterator[Indices]:
        """Every valid point, in a fixed order."""
        every = (range(len(dimension.choices)) for dimension in self.dimensions)
        return (indices for indices in product(*every) if self.valid(indices))

    def _find_kinds(self, width: int) -> Iterator[Kind]:
        hidden_size = self.dimensions[self._width].choices[width]
        names = [dimension.name for dimension in self.kind_dimensions]
        every = (range(len(dimension.choices)) for dimension in self.kind_dimensions)
        for kind in product(*every):
            chosen = tuple(
                dimension.choices[index]
                for dimension, index in zip(self.kind_dimensions, kind, strict=True)
            )
            values = dict(zip(names, chosen, strict=True))
            k_quant = "_K" in values["quantization"] and not self.k_quant_fallback
            if (k_quant and hidden_size % 256) or chosen in self.refused:
                continue
            if self.family.explain({"hidden_size": hidden_size, **values}) is None:
                yield kind

    def _kind(self, indices: Indices) -> Kind:
        return tuple(indices[slot] for slot in self.kind_slots)

    def _structure(self, indices: Indices) -> Kind:
        return tuple(indices[slot] for slot in self._structure_slots)

    def _ratio_index(self, dimension: Dimension, hidden_size: int, ratio: float) -> int | None:
        wanted = intermediate_size(hidden_size, ratio)
        sizes = [intermediate_size(hidden_size, choice) for choice in dimension.choices]
        return sizes.index(wanted) if wanted in sizes else None

    def _structures(self, width: int) -> list[tuple[list[int], int]]:
        """One point for each set of kinds with equal parameters, and the size of the set."""
        groups: dict[Kind, list[Kind]] = defaultdict(list)
        for kind in self.kinds(width):
            by_slot = dict(zip(self.kind_slots, kind, strict=True))
            groups[tuple(by_slot[slot] for slot in self._structure_slots)].append(kind)
        found = []
        for group in groups.values():
            template = [0] * len(self.dimensions)
            template[self._width] = width
            for slot, index in zip(self.kind_slots, group[0], strict=True):
                template[slot] = index
            found.append((template, len(group)))
        return found

    def _fits(self, width: int) -> bool:
        """Whether the smallest network of a width stays within `max_params`."""
        structures = self._structures(width)
        if self.max_params is None:
            return bool(structures)
        return any(
            self.depths(
                tuple(
                    ratio if slot == self._ratio else index for slot, index in enumerate(template)
                )
            )
            > 0
            for (template, _), ratio in product(structures, self.ratios(width))
        )

    def _layer(self, indices: Indices) -> int:
        key = (indices[self._width], indices[self._ratio], *self._structure(indices))
        if key not in self._layer_params:
            values = self.values(indices)
            layer = self.family.layer(values)
            self._layer_params[key] = layer.num_params(values["hidden_size"])
        return self._layer_params[key]

    def _shell(self, indices: Indices) -> int:
        key = (indices[self._width], indices[self._vocabulary], *self._structure(indices))
        if key not in self._shell_params:
            values = {**self.values(indices), "num_hidden_layers": 1}
            architecture = self.family.build(values)
            layer = architecture.layers[0].num_params(architecture.hidden_size)
            self._shell_params[key] = architecture.num_params - layer
        return self._shell_params[key]


def _distance(indices: Indices, slots: Sequence[int], kind: Kind) -> int:
    return sum(abs(indices[slot] - index) for slot, index in zip(slots, kind, strict=True))

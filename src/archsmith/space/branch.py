"""One branch of the tagged union: a family with the choices a space offers, and what is valid.

A point of a branch is a tuple of indices, one per dimension. Everything that decides validity is
looked at once per width and kept, so that moving about costs microseconds.
"""

import bisect
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.space.counting import count_points
from archsmith.space.dimensions import Dimension, chosen
from archsmith.space.families.base import Family, blocks_per_token, intermediate_size
from archsmith.space.kinds import Kind, Kinds
from archsmith.space.parameters import Parameters

Indices = tuple[int, ...]

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
        refused: combinations of choices, by dimension, that are left out.
    """

    def __init__(
        self,
        family: Family,
        dimensions: Sequence[Dimension],
        *,
        max_params: int | None = None,
        k_quant_fallback: bool = False,
        refused: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.family = family
        self.dimensions = tuple(dimensions)
        self.max_params = max_params
        self.k_quant_fallback = k_quant_fallback
        self.refused = tuple(refused)
        self.slots = {dimension.name: slot for slot, dimension in enumerate(self.dimensions)}
        self._width, self._depth, self._ratio, self._vocabulary = (
            self.slots[name] for name in _SIZES
        )
        self.kinds = Kinds(
            family,
            self.dimensions,
            tuple(slot for name, slot in self.slots.items() if name not in _SIZES),
            refused=self.refused,
            k_quant_fallback=k_quant_fallback,
        )
        self.parameters = Parameters(family, self.dimensions, self.kinds)
        self._ratios: dict[tuple[int, int], tuple[int, ...]] = {}
        self._least: dict[Kind, int] = {}

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

    def without(self, refused: Sequence[Mapping[str, Any]]) -> "Branch":
        """The same branch without these combinations of choices."""
        return Branch(
            self.family,
            self.dimensions,
            max_params=self.max_params,
            k_quant_fallback=self.k_quant_fallback,
            refused=(*self.refused, *refused),
        )

    def values(self, indices: Indices) -> dict[str, Any]:
        """The choices by name."""
        return chosen(self.dimensions, indices)

    def choices(self, name: str) -> tuple[Any, ...]:
        """What a dimension offers."""
        return self.dimensions[self.slots[name]].choices

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
                index = self._ratio_index(dimension, values)
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
            self.kinds.has(width, indices)
            and indices[self._ratio] in self.ratios_of(indices)
            and indices[self._depth] >= self._least_depth(indices)
            and (self.max_params is None or self.num_params(indices) <= self.max_params)
        )

    def settle(self, indices: Indices) -> Indices | None:
        """`indices` with the kind, the ratio and a depth too small moved to the nearest that fit.

        None where the width has none, or the result has too many parameters.
        """
        kind = self.kinds.nearest(indices[self._width], indices)
        if kind is None:
            return None
        settled = list(indices)
        for slot, index in zip(self.kinds.slots, kind, strict=True):
            settled[slot] = index
        ratio = indices[self._ratio]
        settled[self._ratio] = min(self.ratios_of(settled), key=lambda other: abs(other - ratio))
        settled[self._depth] = max(settled[self._depth], self._least_depth(settled))
        found = tuple(settled)
        in_range = settled[self._depth] < len(self.dimensions[self._depth].choices)
        return found if in_range and self.valid(found) else None

    def smallest(self, width: int, joint: Kind) -> Indices:
        """The smallest network with this width and these choices that go together."""
        indices = [0] * len(self.dimensions)
        indices[self._width] = width
        indices[self.slots["quantization"]] = self.kinds.quantizations(width)[0]
        for slot, index in zip(self.kinds.joint_slots, joint, strict=True):
            indices[slot] = index
        indices[self._ratio] = self.ratios_of(indices)[0]
        indices[self._depth] = self._least_depth(indices)
        return tuple(indices)

    def ratios(self, width: int, blocks: int = 1) -> tuple[int, ...]:
        """Feed-forward ratios that give different widths; of equal ones the first stands.

        `blocks` feed-forward blocks (experts of one token) share the ratio.
        """
        if (width, blocks) not in self._ratios:
            hidden_size = self.dimensions[self._width].choices[width]
            first: dict[int, int] = {}
            for index, ratio in enumerate(self.dimensions[self._ratio].choices):
                first.setdefault(intermediate_size(hidden_size, ratio, blocks), index)
            self._ratios[width, blocks] = tuple(first.values())
        return self._ratios[width, blocks]

    def ratios_of(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Those of a point's width and kind."""
        return self.ratios(indices[self._width], self.kinds.blocks(indices))

    def depths(self, indices: Indices) -> range:
        """Indices of the depths that show the whole kind and stay within `max_params`."""
        choices = self.dimensions[self._depth].choices
        least, end = self._least_depth(indices), len(choices)
        if self.max_params is not None:
            layer, shell = self.parameters.layer(indices), self.parameters.shell(indices)
            end = bisect.bisect_right(choices, (self.max_params - shell) // layer)
        return range(least, max(least, end))

    def num_params(self, indices: Indices) -> int:
        """Parameters, from kept sums."""
        return self.parameters.total(indices)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The exact number of valid points of each of `widths`."""
        return tuple(count_points(self, width) for width in self.widths)

    def sample(self, rng: random.Random) -> Indices:
        """A point, uniformly: a width by its number of points, the rest by rejection."""
        width = rng.choices(self.widths, weights=self.counts)[0]
        ratios = self._all_ratios(width)
        chosen = [0] * len(self.dimensions)
        chosen[self._width] = width
        while True:
            kind = self.kinds.at(width, rng.randrange(self.kinds.count(width)))
            for slot, index in zip(self.kinds.slots, kind, strict=True):
                chosen[slot] = index
            chosen[self._ratio] = rng.choice(ratios)
            for slot in (self._vocabulary, self._depth):
                chosen[slot] = rng.randrange(len(self.dimensions[slot].choices))
            found = tuple(chosen)
            if found[self._ratio] in self.ratios_of(found) and found[self._depth] in self.depths(
                found
            ):
                return found

    def points(self) -> Iterator[Indices]:
        """Every valid point, in a fixed order."""
        every = (range(len(dimension.choices)) for dimension in self.dimensions)
        return (indices for indices in product(*every) if self.valid(indices))

    def _all_ratios(self, width: int) -> tuple[int, ...]:
        """Ratios that some kind of this width has."""
        every = {
            ratio
            for blocks in self.kinds.block_numbers(width)
            for ratio in self.ratios(width, blocks)
        }
        return tuple(sorted(every))

    def _ratio_index(self, dimension: Dimension, values: Mapping[str, Any]) -> int | None:
        hidden_size, blocks = values["hidden_size"], blocks_per_token(values)
        wanted = intermediate_size(hidden_size, values["intermediate_ratio"], blocks)
        sizes = [intermediate_size(hidden_size, choice, blocks) for choice in dimension.choices]
        return sizes.index(wanted) if wanted in sizes else None

    def _least_depth(self, indices: Sequence[int]) -> int:
        """Index of the smallest depth at which the kind can be told from others."""
        kind = self.kinds.joint(indices)
        if kind not in self._least:
            least = self.family.least_depth(self.values(tuple(indices)))
            choices = self.dimensions[self._depth].choices
            self._least[kind] = bisect.bisect_left(choices, least)
        return self._least[kind]

    def _fits(self, width: int) -> bool:
        """Whether the smallest network of a width stays within `max_params`."""
        for joint, _ in self.kinds.countable(width):
            smallest = self.smallest(width, joint)
            for ratio in self.ratios_of(smallest):
                if len(self.depths(self._with(smallest, self._ratio, ratio))):
                    return True
        return False

    def _with(self, indices: Indices, slot: int, index: int) -> Indices:
        return (*indices[:slot], index, *indices[slot + 1 :])

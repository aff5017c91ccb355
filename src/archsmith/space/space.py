"""A space of architectures: a tagged union of carrier families.

Moves are made on indices into each family's choices; points that come in and go out are
architectures. Mutation stays inside a family or switches it openly, keeping what both have.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.errors import ConfigError
from archsmith.space.branch import Branch, Indices
from archsmith.space.dimensions import Dimension
from archsmith.space.exportable import refused_kinds
from archsmith.space.features import features

_FAMILY_SWITCH = 0.1  # share of mutations that change the family
_FAR_MOVE = 0.3  # share of moved dimensions that jump anywhere instead of to a near choice
_ATTEMPTS = 100


@dataclass(frozen=True)
class Location:
    """Where a point lies: which branch, and the index of the choice in each of its dimensions."""

    branch: int
    indices: Indices


class Exportable(NamedTuple):
    """A space whose every point can be exported, and why other points were left out."""

    space: "ArchitectureSpace"
    reasons: tuple[str, ...]


class ArchitectureSpace:
    """Implements `archsmith.trial.Space` for architectures.

    Raises ConfigError where no combination of the choices is valid.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = tuple(branch for branch in branches if branch.widths)
        if not self.branches:
            raise ConfigError(_empty(branches))
        self._locate = lru_cache(maxsize=1 << 17)(self._find)
        # strategies walk over the same few thousand points again and again
        self._build = lru_cache(maxsize=1 << 13)(self._make)

    @cached_property
    def dimension_names(self) -> tuple[str, ...]:
        """All dimensions of all families, each once."""
        return tuple(dict.fromkeys(name for branch in self.branches for name in branch.slots))

    def locate(self, point: Any) -> Location | None:
        """Where a point lies, or None if it is no member."""
        return self._locate(point) if isinstance(point, Architecture) else None

    def build(self, location: Location) -> Architecture:
        """The architecture at a location."""
        return self._build(location)

    def _make(self, location: Location) -> Architecture:
        return self.branches[location.branch].build(location.indices)

    def values(self, point: Architecture) -> dict[str, Any]:
        """The choices of a member by name, and its `family`."""
        location = self._required(point)
        branch = self.branches[location.branch]
        return {"family": branch.family.name, **branch.values(location.indices)}

    def contains(self, point: Any) -> bool:
        """Whether the point is a member."""
        return self.locate(point) is not None

    def points(self) -> Iterator[Architecture]:
        """Every point, in a fixed order; for small spaces."""
        for number, branch in enumerate(self.branches):
            for indices in branch.points():
                yield self.build(Location(number, indices))

    def sample(self, rng: random.Random) -> Architecture:
        """A family uniformly, then one of its points uniformly."""
        number = rng.randrange(len(self.branches))
        return self.build(Location(number, self.branches[number].sample(rng)))

    def mutate(self, point: Architecture, rng: random.Random) -> Architecture:
        """A different member: one or two dimensions moved, or the family switched."""
        location = self._required(point)
        for _ in range(_ATTEMPTS):
            moved = self._moved(location, rng)
            if moved is not None and moved != location:
                return self.build(moved)
        others = [other for other in self.neighbours(point) if other != point]
        return rng.choice(others) if others else self.sample(rng)

    def crossover(
        self, first: Architecture, second: Architecture, rng: random.Random
    ) -> Architecture:
        """The family of one parent, each choice from either where both have it."""
        parents = [first, second]
        rng.shuffle(parents)
        location = self._required(parents[0])
        branch = self.branches[location.branch]
        own, other = branch.values(location.indices), self.values(parents[1])
        for _ in range(_ATTEMPTS):
            mixed = {
                name: other[name] if name in other and rng.random() < 0.5 else value
                for name, value in own.items()
            }
            indices = branch.nearest(mixed)
            if indices is not None:
                return self.build(Location(location.branch, indices))
        return parents[0]

    def neighbours(self, point: Architecture) -> list[Architecture]:
        """All members one step away: each dimension one choice up or down, each other family."""
        location = self._required(point)
        found: dict[Location, None] = {}
        branch = self.branches[location.branch]
        for slot in range(len(branch.dimensions)):
            for step in (-1, 1):
                moved = _step(branch, location.indices, slot, step)
                if moved is not None:
                    found[Location(location.branch, moved)] = None
        for number in range(len(self.branches)):
            switched = self._switched(location, number)
            if switched is not None:
                found[switched] = None
        found.pop(location, None)
        return [self.build(other) for other in found]

    def nearest(self, architecture: Architecture) -> Architecture | None:
        """The member of the same family nearest to any architecture; None without one."""
        for number, branch in enumerate(self.branches):
            values = branch.family.values(architecture)
            if values is not None:
                indices = branch.nearest(values)
                return None if indices is None else self.build(Location(number, indices))
        return None

    def encode(self, point: Architecture) -> np.ndarray:
        """One-hot family, then each dimension's position in [0, 1]; -1 where a family has none."""
        location = self._required(point)
        branch = self.branches[location.branch]
        families = np.zeros(len(self.branches))
        families[location.branch] = 1.0
        positions = np.full(len(self.dimension_names), -1.0)
        for place, name in enumerate(self.dimension_names):
            slot = branch.slots.get(name)
            if slot is not None:
                positions[place] = branch.dimensions[slot].positions[location.indices[slot]]
        return np.concatenate([families, positions])

    def features(self, point: Architecture) -> Mapping[str, float]:
        """Named numbers a surrogate can use; see `archsmith.space.features`."""
        return features(point)

    def size(self) -> int:
        """The exact number of points; families never share one (see `Family.special_cases`)."""
        return self._size

    def log10_size(self) -> float:
        """Decimal logarithm of the exact number of points."""
        return math.log10(self._size)

    def exportable_to(self, targets: Sequence[str]) -> "Exportable":
        """The part of the space that every target can hold, and why the rest is left out.

        Whether a point can be exported depends on its kind (heads, rotary, tying, quantization),
        not on its sizes. Raises ConfigError where nothing is left.
        """
        reasons: dict[str, None] = {}
        branches = []
        for branch in self.branches:
            refused = refused_kinds(branch, targets)
            reasons.update(dict.fromkeys(refusal.reason for refusal in refused))
            branches.append(branch.without([refusal.choices for refusal in refused]))
        return Exportable(ArchitectureSpace(branches), tuple(reasons))

    def restrict(self, **choices: Sequence[Any]) -> "ArchitectureSpace":
        """The same space with fewer choices; names a family does not have are passed over.

        Raises ConfigError where nothing is left.
        """
        wanted = choices.pop("family", [branch.family.name for branch in self.branches])
        return ArchitectureSpace(
            [
                branch.with_dimensions(
                    [
                        _restricted(dimension, choices.get(dimension.name))
                        for dimension in branch.dimensions
                    ]
                )
                for branch in self.branches
                if branch.family.name in wanted
            ]
        )

    @cached_property
    def _size(self) -> int:
        return sum(sum(branch.counts) for branch in self.branches)

    def _find(self, point: Architecture) -> Location | None:
        for number, branch in enumerate(self.branches):
            indices = branch.locate(point)
            if indices is not None:
                return Location(number, indices)
        return None

    def _required(self, point: Architecture) -> Location:
        location = self.locate(point)
        if location is None:
            raise ValueError(f"not a member of the space: {point}")
        return location

    def _moved(self, location: Location, rng: random.Random) -> Location | None:
        if len(self.branches) > 1 and rng.random() < _FAMILY_SWITCH:
            return self._switched(location, rng.randrange(len(self.branches)))
        branch = self.branches[location.branch]
        indices = list(location.indices)
        movable = [
            slot for slot, dimension in enumerate(branch.dimensions) if len(dimension.choices) > 1
        ]
        if not movable:
            return None
        for slot in rng.sample(movable, min(rng.choice((1, 2)), len(movable))):
            last = len(branch.dimensions[slot].choices) - 1
            if rng.random() < _FAR_MOVE:
                indices[slot] = rng.randint(0, last)
            else:
                indices[slot] = min(max(indices[slot] + rng.choice((-2, -1, 1, 2)), 0), last)
        settled = branch.settle(tuple(indices))
        return None if settled is None else Location(location.branch, settled)

    def _switched(self, location: Location, number: int) -> Location | None:
        if number == location.branch:
            return None
        values = self.branches[location.branch].values(location.indices)
        indices = self.branches[number].nearest(values)
        return None if indices is None else Location(number, indices)


def _step(branch: Branch, indices: Indices, slot: int, step: int) -> Indices | None:
    """The nearest valid point in one direction of one dimension, if there is one."""
    index = indices[slot] + step
    while 0 <= index < len(branch.dimensions[slot].choices):
        moved = branch.settle((*indices[:slot], index, *indices[slot + 1 :]))
        # settling may undo a step, as when two ratios give one width; then go one further
        if moved is not None and moved[slot] == index:
            return moved
        index += step
    return None


def _restricted(dimension: Dimension, choices: Sequence[Any] | None) -> Dimension:
    if choices is None:
        return dimension
    kept = tuple(choice for choice in dimension.choices if choice in choices)
    if not kept:
        raise ConfigError(
            f"{dimension.name}: none of {list(choices)} is offered; "
            f"the space has {list(dimension.choices)}"
        )
    return Dimension(dimension.name, kept)


def _empty(branches: Sequence[Branch]) -> str:
    if not branches:
        return "the space has no family"
    reasons = []
    for branch in branches:
        widths = range(len(branch.dimensions[branch.slots["hidden_size"]].choices))
        if not any(
            branch.kinds.joints(width) and branch.kinds.quantizations(width) for width in widths
        ):
            reasons.append(
                f"{branch.family.name}: no width, head size and quantization go together "
                f"({branch.kinds.explain()})"
            )
        else:
            reasons.append(
                f"{branch.family.name}: even the smallest network has more than "
                f"max_params = {branch.max_params} parameters"
            )
    return "the space is empty: " + "; ".join(reasons)

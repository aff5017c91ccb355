"""Points as answers to a sequence of choices, for strategies that think in choices.

A space of architectures asks for the family, where it has several, and then for each of that
family's dimensions. A recorded table asks for each of its columns. Any space joins in that has
`choice_sizes`, `indices(point)` and `at(indices)`; `choice_orders` says which of them are ordered,
and `by_distance(indices)` lists its points, the nearest first, where not all combinations exist.
"""

import random
from collections.abc import Container, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, Protocol, runtime_checkable

from archsmith.errors import ConfigError
from archsmith.space.branch import Branch, Indices
from archsmith.space.feasible import nearest_feasible
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.strategies._drafts import Draft
from archsmith.trial import Problem, Space

NEAREST = "nearest to what was asked"  # note of a point that stands in for another


@runtime_checkable
class ChoiceSpace(Protocol):
    """A space whose points are combinations of choices, not all of which need exist."""

    @property
    def choice_sizes(self) -> tuple[int, ...]:
        """Number of options of each choice."""

    def indices(self, point: Any) -> tuple[int, ...]:
        """The option a point has in each choice."""

    def at(self, indices: Sequence[int]) -> Any | None:
        """The point with these options, or None where there is none."""


class Choice(NamedTuple):
    """One question: how many options it has, and whether neighbouring ones are alike.

    Choices of several groups that have one name are the same question with the same options.
    """

    size: int
    is_ordered: bool
    name: str


class Answer(NamedTuple):
    """A group of choices (a family; 0 where there is one group) and an option for each."""

    group: int
    options: tuple[int, ...]


class Choices:
    """The choices of a space.

    Attributes:
        groups: the choices of each group, in the order in which they are made.
    """

    def __init__(self, space: Space, *, purpose: str) -> None:
        if isinstance(space, ArchitectureSpace):
            self.groups = _groups(space)
        elif isinstance(space, ChoiceSpace):
            sizes = space.choice_sizes
            ordered = getattr(space, "choice_orders", (False,) * len(sizes))
            self.groups = (
                tuple(
                    Choice(size, is_ordered, f"choice_{place}")
                    for place, (size, is_ordered) in enumerate(zip(sizes, ordered, strict=True))
                ),
            )
        else:
            raise ConfigError(
                f"strategy '{purpose}' needs a space made of choices: one of architectures, a "
                "recorded table, or one with choice_sizes, indices and at"
            )
        self._space: Any = space

    def answer(self, point: Any) -> Answer:
        """The choices a point stands for."""
        if isinstance(self._space, ArchitectureSpace):
            location = self._space.locate(point)
            assert location is not None, "histories hold points of the space"
            return Answer(location.branch, tuple(location.indices))
        return Answer(0, tuple(self._space.indices(point)))

    def point(self, answer: Answer) -> Any | None:
        """The point of an answer, settled to the nearest valid one; None where there is none."""
        if isinstance(self._space, ArchitectureSpace):
            settled = _settle(self._space.branches[answer.group], answer.options)
            return None if settled is None else self._space.build(Location(answer.group, settled))
        return self._space.at(answer.options)

    def drafts(
        self, problem: Problem, answer: Answer, known: Container[Any], rng: random.Random
    ) -> Iterator[Draft]:
        """The point of an answer; then, where there is none or it breaks limits, one that may do.

        On a recorded table that is the nearest row, by choices, that meets the limits and is not
        `known`; among architectures the end of moves that lower the excess over the limits.
        """
        point = self.point(answer)
        if point is not None:
            yield Draft(point)
            if problem.feasible(point):
                return
        yield from self.instead(problem, answer, known, rng)

    def instead(
        self, problem: Problem, answer: Answer, known: Container[Any], rng: random.Random
    ) -> Iterator[Draft]:
        """The point that stands in for an answer's own, or nothing where none is found."""
        by_distance = getattr(self._space, "by_distance", None)
        if by_distance is not None:
            for row in by_distance(answer.options):
                if row not in known and problem.feasible(row):
                    yield Draft(row, note=NEAREST)
                    return
        elif (point := self.point(answer)) is not None:
            near = nearest_feasible(problem, point, rng)
            if near is not None:
                yield Draft(near, note=NEAREST)


def _groups(space: ArchitectureSpace) -> tuple[tuple[Choice, ...], ...]:
    """The dimensions of each family; one that families share with the same choices has one name."""
    names: dict[str, dict[tuple[Any, ...], str]] = {}
    for branch in space.branches:
        for dimension in branch.dimensions:
            of_choices = names.setdefault(dimension.name, {})
            suffix = f":{len(of_choices)}" if of_choices else ""
            of_choices.setdefault(dimension.choices, f"{dimension.name}{suffix}")
    return tuple(
        tuple(Choice(len(d.choices), True, names[d.name][d.choices]) for d in branch.dimensions)
        for branch in space.branches
    )


def _settle(branch: Branch, options: Indices) -> Indices | None:
    """The valid point nearest to these options, with fewer parameters if need be.

    Shallower first, then of another width, then with a smaller vocabulary.
    """
    slots = [branch.slots[name] for name in ("vocabulary", "hidden_size", "num_hidden_layers")]

    def settled(*indices: int) -> Indices | None:
        changed = list(options)
        for slot, index in zip(slots, indices, strict=True):
            changed[slot] = index
        return branch.settle(tuple(changed))

    found = branch.settle(options)
    if found is not None:
        return found
    vocabulary, width, depth = (options[slot] for slot in slots)
    widths = sorted(branch.widths, key=lambda index: abs(index - width))
    for smaller, other in product(range(vocabulary, -1, -1), widths):
        if settled(smaller, other, 0) is not None:
            every = (settled(smaller, other, index) for index in range(depth, -1, -1))
            return next(found for found in every if found is not None)
    return None

"""Points as answers to a sequence of choices, for strategies that think in choices.

A space of architectures asks for the family, where it has several, and then for each of that
family's dimensions. A recorded table asks for each of its columns. Any space joins in that has
`choice_sizes`, `indices(point)` and `at(indices)`; `choice_orders` says which of them are ordered.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from archsmith.errors import ConfigError
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.trial import Space


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
    """One question: how many options it has, and whether neighbouring ones are alike."""

    size: int
    is_ordered: bool


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
            self.groups = tuple(
                tuple(Choice(len(dimension.choices), True) for dimension in branch.dimensions)
                for branch in space.branches
            )
        elif isinstance(space, ChoiceSpace):
            sizes = space.choice_sizes
            ordered = getattr(space, "choice_orders", (False,) * len(sizes))
            self.groups = (tuple(Choice(*pair) for pair in zip(sizes, ordered, strict=True)),)
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
            settled = self._space.branches[answer.group].settle(answer.options)
            return None if settled is None else self._space.build(Location(answer.group, settled))
        return self._space.at(answer.options)

"""A recorded table as a space: its points are the rows, and nothing else exists."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from archsmith.replay.reading import Value

_NEAREST = 8  # rows at hand where no row, or none but a few, is one choice away
_FEW = 3
_TRIES = 20


class Row(NamedTuple):
    """One trained model: its place in the table, and its choices."""

    number: int
    choices: tuple[Value, ...]

    def summary(self) -> str:
        """One line for people."""
        return f"row {self.number} ({', '.join(map(str, self.choices))})"


class Dimension(NamedTuple):
    """One choice: its column, every value recorded, in order, and what it shares with others.

    `group` is not empty where choices are one kind of choice at several places.
    """

    name: str
    kind: Literal["categorical", "ordinal"]
    levels: tuple[Value, ...]
    group: str = ""


class TableSpace:
    """Implements `archsmith.trial.Space` over the rows of a table.

    A neighbour differs in one choice: in any other value of a categorical one, in the next recorded
    value of an ordinal one. Rows with fewer than three such neighbours get the eight nearest rows
    instead, and parts of the table that no neighbours join are joined where they are nearest, so
    that every row can be reached.

    Attributes:
        dimensions: the choices.
        levels: [N, D] index of each row's value in each choice.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        levels: np.ndarray,
        features: Mapping[str, np.ndarray],
    ) -> None:
        self.dimensions = tuple(dimensions)
        self.levels = levels
        self._levels: list[list[int]] = levels.tolist()
        self._features = {name: values.tolist() for name, values in features.items()}
        self._rows = tuple(
            Row(number, tuple(d.levels[i] for d, i in zip(self.dimensions, row, strict=True)))
            for number, row in enumerate(self._levels)
        )
        self._by_choice: dict[int, list[list[int]]] = {}
        self._at: dict[tuple[int, ...], list[int]] = {}
        for number, row in enumerate(self._levels):
            self._at.setdefault(tuple(row), []).append(number)

    def __len__(self) -> int:
        return len(self._rows)

    def points(self) -> tuple[Row, ...]:
        """Every row, in the table's order."""
        return self._rows

    @property
    def choice_sizes(self) -> tuple[int, ...]:
        """Values of each choice."""
        return tuple(len(dimension.levels) for dimension in self.dimensions)

    @property
    def choice_orders(self) -> tuple[bool, ...]:
        """Whether the values of each choice have an order."""
        return tuple(dimension.kind == "ordinal" for dimension in self.dimensions)

    def indices(self, point: Row) -> tuple[int, ...]:
        """Which value of each choice a row has."""
        return tuple(self._levels[point.number])

    def at(self, indices: Sequence[int]) -> Row | None:
        """The row (the first, where several share their choices) with these values, or None."""
        found = self._at.get(tuple(indices))
        return None if found is None else self._rows[found[0]]

    def by_distance(self, indices: Sequence[int]) -> Iterator[Row]:
        """All rows, the nearest to these values first; of equals the earlier in the table.

        A categorical choice that differs counts one, an ordinal one by how many recorded values
        lie between, as a share of all.
        """
        for number in np.argsort(self._distances(indices), kind="stable").tolist():
            yield self._rows[number]

    def sample(self, rng: random.Random) -> Row:
        """A row, each as likely as any other."""
        return self._rows[rng.randrange(len(self._rows))]

    def neighbours(self, point: Row) -> list[Row]:
        """Rows one choice away; the nearest rows where the table has none."""
        return [self._rows[number] for number in self._neighbours[point.number]]

    def mutate(self, point: Row, rng: random.Random) -> Row:
        """A neighbour: a choice drawn first, so that long choices are not moved more often."""
        choices = self._by_choice.get(point.number)
        if choices is None:
            choices = self._by_choice[point.number] = self._split_by_choice(point.number)
        return self._rows[rng.choice(rng.choice(choices))] if choices else point

    def _split_by_choice(self, number: int) -> list[list[int]]:
        """A row's neighbours by the choice that differs first, in the order of the choices."""
        own, places = self._levels[number], range(len(self.dimensions))
        by_choice: dict[int, list[int]] = {}
        for near in self._neighbours[number]:
            other = self._levels[near]
            moved = next((place for place in places if other[place] != own[place]), -1)
            by_choice.setdefault(moved, []).append(near)
        return [by_choice[place] for place in sorted(by_choice)]

    def crossover(self, first: Row, second: Row, rng: random.Random) -> Row:
        """Each choice from either; a neighbour of one of them where no such row was recorded."""
        pairs = list(zip(self.indices(first), self.indices(second), strict=True))
        for _ in range(_TRIES):
            found = self._at.get(tuple(rng.choice(pair) for pair in pairs))
            if found is not None:
                return self._rows[rng.choice(found)]
        return self.mutate(rng.choice((first, second)), rng)

    def contains(self, point: Any) -> bool:
        """Whether the point is a row of this table."""
        return (
            isinstance(point, Row)
            and 0 <= point.number < len(self._rows)
            and self._rows[point.number] == point
        )

    def encode(self, point: Row) -> np.ndarray:
        """One-hot for a categorical choice, its rank in [0, 1] for an ordinal one. [F]"""
        return self.encoded[point.number].copy()

    def features(self, point: Row) -> dict[str, float]:
        """The description's numbers: logarithms of static metrics, and its features."""
        return {name: values[point.number] for name, values in self._features.items()}

    def log10_size(self) -> float:
        """Decimal logarithm of the number of rows."""
        return math.log10(len(self._rows))

    @cached_property
    def encoded(self) -> np.ndarray:
        """Every row's vector. [N, F]"""
        parts = []
        for place, dimension in enumerate(self.dimensions):
            column, size = self.levels[:, place], len(dimension.levels)
            if dimension.kind == "categorical":
                parts.append(np.eye(size)[column])
            else:
                parts.append(column[:, None] / max(size - 1, 1))
        if any(len(numbers) > 1 for numbers in self._at.values()):
            # rows that only their identity tells apart still get vectors of their own
            extra = np.zeros((len(self._rows), 1))
            for numbers in self._at.values():
                extra[numbers, 0] = np.arange(len(numbers)) / len(self._rows)
            parts.append(extra)
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(self._rows), 0))

    def _distances(self, indices: Sequence[int]) -> np.ndarray:
        """From these values to all rows: choices that differ, ordinal ones by how far. [N]"""
        total = np.zeros(len(self._rows))
        for place, dimension in enumerate(self.dimensions):
            column = self.levels[:, place]
            if dimension.kind == "categorical":
                total += column != indices[place]
            else:
                total += np.abs(column - indices[place]) / max(len(dimension.levels) - 1, 1)
        return total

    @cached_property
    def _neighbours(self) -> list[tuple[int, ...]]:
        """Every row's neighbours, mutual, with links between parts that nothing else joins."""
        near = self._one_away()
        few = min(_FEW, len(near) - 1)
        for number in [n for n, found in enumerate(near) if len(found) < few]:
            distances = self._distances(self._levels[number])
            distances[number] = np.inf
            nearest = np.argsort(distances, kind="stable")[: min(_NEAREST, len(near) - 1)]
            for other in nearest.tolist():
                near[number].setdefault(other)
                near[other].setdefault(number)
        group = _parts(near)
        for own in range(1, int(group.max()) + 1):
            first = int(np.flatnonzero(group == own)[0])
            distances = np.where(group < own, self._distances(self._levels[first]), np.inf)
            second = int(np.argmin(distances))
            near[first].setdefault(second)
            near[second].setdefault(first)
        return [tuple(found) for found in near]

    def _one_away(self) -> list[dict[int, None]]:
        """Rows that differ in one choice, by one step where it is ordered, or in none."""
        near: list[dict[int, None]] = [dict.fromkeys(self._at[tuple(row)]) for row in self._levels]
        for place, dimension in enumerate(self.dimensions):
            # rows that agree in everything else, by their value here
            lines: dict[tuple[int, ...], dict[int, list[int]]] = {}
            for number, row in enumerate(self._levels):
                rest = (*row[:place], *row[place + 1 :])
                lines.setdefault(rest, {}).setdefault(row[place], []).append(number)
            for line in lines.values():
                if dimension.kind == "categorical":
                    together = [list(chain.from_iterable(line.values()))]
                else:
                    together = [line[low] + line[high] for low, high in pairwise(sorted(line))]
                for numbers in together:
                    for number in numbers:
                        near[number].update(dict.fromkeys(numbers))
        for number, found in enumerate(near):
            del found[number]
        return near


def _parts(near: Sequence[Mapping[int, None]]) -> np.ndarray:
    """The connected part each row belongs to, numbered from 0. [N]"""
    group, parts = np.full(len(near), -1), 0
    for start in range(len(near)):
        if group[start] >= 0:
            continue
        group[start], stack = parts, [start]
        while stack:
            for other in near[stack.pop()]:
                if group[other] < 0:
                    group[other] = parts
                    stack.append(other)
        parts += 1
    return group

"""A table as a space: rows only, one choice at a time, and every row within reach."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_example import DESCRIPTION, write_csv

from archsmith.replay.space import Dimension, Row, TableSpace
from archsmith.replay.table import load_table
from archsmith.testing.space import SpaceContract


def made(levels, kinds):
    levels = np.array(levels)
    dimensions = [
        Dimension(f"c{i}", kind, tuple(range(int(levels[:, i].max()) + 1)))
        for i, kind in enumerate(kinds)
    ]
    return TableSpace(dimensions, levels, {})


@pytest.fixture
def space(tmp_path):
    return load_table(write_csv(tmp_path / "t.csv"), DESCRIPTION).space


class TestContract(SpaceContract):
    @pytest.fixture
    def space(self, tmp_path):
        return load_table(write_csv(tmp_path / "t.csv"), DESCRIPTION).space


def test_a_neighbour_differs_in_one_choice_and_by_one_step_of_an_ordinal_one(space):
    point = space.at((0, 0, 0))
    assert point.choices == ("a", "x", 1.0)
    near = {p.choices for p in space.neighbours(point)}
    assert near == {("b", "x", 1.0), ("c", "x", 1.0), ("a", "y", 1.0), ("a", "x", 2.0)}
    assert len(space.neighbours(space.at((0, 0, 1)))) == 5


def test_an_ordinal_step_skips_values_that_were_not_recorded():
    space = made([[0, 0], [2, 0], [3, 0], [0, 1], [3, 1]], ["ordinal", "ordinal"])
    near = {p.choices for p in space.neighbours(space.at((0, 0)))}
    assert {(2, 0), (0, 1)} <= near


def test_moves_stay_in_the_table_and_move(space):
    rng = random.Random(0)
    for _ in range(200):
        first, second = space.sample(rng), space.sample(rng)
        child = space.mutate(first, rng)
        assert child in space.neighbours(first)
        mixed = space.crossover(first, second, rng)
        assert all(c in pair for c, pair in zip(mixed.choices, zip(first.choices, second.choices)))  # noqa: B905
        assert space.contains(mixed)
    assert not space.contains(Row(99, ()))
    assert not space.contains(("a", "x", 1.0))


def test_a_mutation_draws_the_choice_first():
    wide = [[i, j] for i in range(9) for j in range(2)]
    space, rng = made(wide, ["categorical", "categorical"]), random.Random(1)
    start = space.at((0, 0))
    moved = [space.mutate(start, rng).choices[1] != 0 for _ in range(400)]
    assert 0.4 < np.mean(moved) < 0.6


@given(st.sets(st.tuples(*[st.integers(0, 6)] * 4), min_size=2, max_size=40), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_row_can_be_reached_and_has_a_vector_of_its_own(rows, ordinal):
    space = made(sorted(rows), ["ordinal" if ordinal else "categorical"] * 4)
    reached, stack = {space.points()[0]}, [space.points()[0]]
    while stack:
        point = stack.pop()
        near = space.neighbours(point)
        assert point not in near
        assert len(near) == len(set(near)) >= min(3, len(rows) - 1)
        assert all(point in space.neighbours(other) for other in near)
        stack += [other for other in near if other not in reached]
        reached.update(near)
    assert reached == set(space.points())
    assert len({space.encode(p).tobytes() for p in space.points()}) == len(rows)
    assert all(space.at(space.indices(p)) == p for p in space.points())


def test_rows_of_equal_choices_stay_apart():
    space = made([[0], [0], [1]], ["ordinal"])
    first, second, third = space.points()
    assert first != second
    assert second in space.neighbours(first)
    assert not np.array_equal(space.encode(first), space.encode(second))
    assert third.summary() == "row 2 (1)"


def test_one_row_alone_is_a_space():
    space = made([[0]], ["categorical"])
    only = space.points()[0]
    assert space.neighbours(only) == []
    assert space.mutate(only, random.Random(0)) == only
    assert space.log10_size() == 0

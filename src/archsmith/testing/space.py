"""The contracts of a space and of a family: subclass and give a `space` or `family` fixture."""

import itertools
import random
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from archsmith.space.branch import Branch
from archsmith.space.families.base import Family
from archsmith.trial import Space

_POINTS = 40


@lru_cache(maxsize=64)
def _branch(family: Family) -> Branch:
    return Branch(family, family.dimensions)  # counts its points once


class SpaceContract:
    """Every move stays inside, changes the point, and repeats with the same generator.

    class TestMine(SpaceContract):
        space = pytest.fixture(lambda self: MySpace())
    """

    @pytest.fixture
    def space(self) -> Any:
        """The space under test."""
        raise NotImplementedError("give the class a fixture named 'space'")

    def test_samples_are_members_and_hashable(self, space: Space) -> None:
        points = self.points(space)
        assert all(space.contains(point) for point in points)
        assert len(set(points)) > 1

    def test_something_foreign_is_no_member(self, space: Space) -> None:
        assert not space.contains("something else")
        assert not space.contains(None)

    def test_the_same_generator_gives_the_same_points(self, space: Space) -> None:
        assert self.points(space) == self.points(space)

    def test_a_mutant_is_another_member(self, space: Space) -> None:
        rng = random.Random(1)
        for point in self.points(space):
            mutant = space.mutate(point, rng)
            assert space.contains(mutant)
            assert mutant != point

    def test_a_child_of_two_is_a_member(self, space: Space) -> None:
        rng, points = random.Random(2), self.points(space)
        for first, second in itertools.pairwise(points):
            assert space.contains(space.crossover(first, second, rng))

    def test_a_child_of_equal_parents_is_their_equal(self, space: Space) -> None:
        for point in self.points(space)[:10]:
            assert space.crossover(point, point, random.Random(3)) == point

    def test_neighbours_are_other_members_each_once(self, space: Space) -> None:
        for point in self.points(space)[:10]:
            neighbours = list(space.neighbours(point))
            assert neighbours
            assert point not in neighbours
            assert len(set(neighbours)) == len(neighbours)
            assert all(space.contains(other) for other in neighbours)

    def test_different_points_have_different_codes_of_one_length(self, space: Space) -> None:
        points = list(dict.fromkeys(self.points(space)))
        for point in points[:10]:
            points += space.neighbours(point)
        codes: dict[tuple[float, ...], Any] = {}
        for point in points:
            code = space.encode(point)
            assert code.dtype == np.float64
            assert np.isfinite(code).all()
            assert codes.setdefault(tuple(code), point) == point
        assert len({len(code) for code in codes}) == 1

    def test_features_are_finite_and_named_alike(self, space: Space) -> None:
        tables = [space.features(point) for point in self.points(space)]
        assert len({tuple(table) for table in tables}) == 1
        assert np.isfinite([list(table.values()) for table in tables]).all()

    def test_the_size_is_at_least_what_was_seen(self, space: Space) -> None:
        assert 10 ** space.log10_size() >= len(set(self.points(space))) - 0.5

    def points(self, space: Space) -> list[Any]:
        """Some points, always the same."""
        rng = random.Random(0)
        return [space.sample(rng) for _ in range(_POINTS)]


class FamilyContract:
    """A family builds what its values say, reads them back, and knows what is not its own.

    class TestMine(FamilyContract):
        family = pytest.fixture(lambda self: PART)
    """

    @pytest.fixture
    def family(self) -> Family:
        """The family under test."""
        raise NotImplementedError("give the class a fixture named 'family'")

    def test_values_and_architecture_are_inverse(self, family: Family) -> None:
        branch, rng = _branch(family), random.Random(0)
        for _ in range(_POINTS):
            indices = branch.sample(rng)
            architecture = branch.build(indices)
            values = family.values(architecture)
            assert values is not None
            assert family.build(values) == architecture
            assert branch.locate(architecture) == indices

    def test_another_network_is_not_its_own(self, family: Family) -> None:
        branch = _branch(family)
        architecture = branch.build(branch.sample(random.Random(1)))
        layer = architecture.layers[0]
        kind = "layer" if layer.norm.type == "rms" else "rms"
        norm = layer.norm.model_copy(update={"type": kind})
        first = layer.model_copy(update={"norm": norm})
        other = architecture.model_copy(update={"layers": (*architecture.layers, first)})
        assert family.values(other) is None

    def test_layers_are_counted_as_the_branch_counts(self, family: Family) -> None:
        branch, rng = _branch(family), random.Random(2)
        for _ in range(_POINTS):
            indices = branch.sample(rng)
            architecture = branch.build(indices)
            counts = {layer.num_params(architecture.hidden_size) for layer in architecture.layers}
            assert len(counts) == 1
            assert branch.num_params(indices) == architecture.num_params

    def test_cosmetic_choices_change_no_count(self, family: Family) -> None:
        branch = _branch(family)
        indices = branch.sample(random.Random(3))
        values = branch.values(indices)
        count = family.build(values).num_params
        for dimension in branch.dimensions:
            if dimension.name in family.cosmetic:
                for choice in dimension.choices:
                    changed = {**values, dimension.name: choice}
                    assert family.build(changed).num_params == count

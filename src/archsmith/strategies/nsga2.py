"""NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017): fronts first, crowding within a front.

Survival is pymoo's non-dominated sorting and crowding distance (Blank & Deb 2020); children are
made by the space's own crossover and mutation.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, Finished, finished, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class _Survivor(NamedTuple):
    trial: Finished
    rank: int
    crowding: float


class Nsga2(Strategy):
    """Mates the survivors of all finished trials.

    Attributes:
        population_size: survivors kept; as many random points come first.
        crossover_probability: otherwise a child begins as a copy of its first parent.
        mutation_probability: a copy is always mutated.
    """

    type: Literal["nsga2"] = "nsga2"
    population_size: PositiveInt = 16
    crossover_probability: float = Field(default=0.9, ge=0.0, le=1.0)
    mutation_probability: float = Field(default=0.7, ge=0.0, le=1.0)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        trials = finished(problem, history)
        enough = len(trials) >= self.population_size
        survivors = survive(trials, self.population_size) if enough else []

        def drafts() -> Iterator[Draft]:
            while True:
                if not enough:
                    yield Draft(sample_feasible(problem, rng))
                    continue
                first, second = _tournament(survivors, rng), _tournament(survivors, rng)
                child = first.point
                if rng.random() < self.crossover_probability:
                    child = problem.space.crossover(first.point, second.point, rng)
                if child in (first.point, second.point) or rng.random() < self.mutation_probability:
                    child = problem.space.mutate(child, rng)
                yield Draft(child, tuple(dict.fromkeys((first.number, second.number))))

        return first_new(problem, history, rng, drafts, strategy=self.type)


def survive(trials: Sequence[Finished], population_size: int) -> list[_Survivor]:
    """The best trials: within limits before outside, higher rungs before lower, then front by
    front, the last one thinned by crowding."""
    survivors: list[_Survivor] = []
    rank = 0
    for group in _groups(trials):
        values = np.array([trial.values for trial in group])
        for front in _fronts(values):
            distances = np.nan_to_num(calc_crowding_distance(values[front]), posinf=1e30)
            members = [
                _Survivor(group[index], rank, float(distance))
                for index, distance in zip(front, distances, strict=True)
            ]
            members.sort(key=lambda member: -member.crowding)
            survivors += members[: population_size - len(survivors)]
            rank += 1
            if len(survivors) >= population_size:
                return survivors
    return survivors


def _fronts(values: np.ndarray) -> list[np.ndarray]:
    """Indices of each front; with one objective every trial is a front of its own. [n, k]"""
    if values.shape[1] == 1:
        return [np.array([index]) for index in np.argsort(values[:, 0], kind="stable")]
    return NonDominatedSorting().do(values)


def _groups(trials: Sequence[Finished]) -> list[list[Finished]]:
    """Trials that may be compared by their values, best group first."""
    groups: dict[tuple[float, int], list[Finished]] = {}
    for trial in trials:
        groups.setdefault((trial.excess, -trial.rung), []).append(trial)
    return [groups[key] for key in sorted(groups)]


def _tournament(survivors: Sequence[_Survivor], rng: random.Random) -> Finished:
    first, second = rng.choice(survivors), rng.choice(survivors)
    return min(first, second, key=lambda member: (member.rank, -member.crowding)).trial


PART = Nsga2

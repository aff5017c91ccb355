"""Regularized evolution (Real et al. 2019, arXiv 1802.01548): mutate the good, drop the old."""

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import PositiveInt

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, finished, first_new, merit
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class RegularizedEvolution(Strategy):
    """Keeps the youngest `population_size` trials; the best of `sample_size` is the parent.

    With several objectives the best is the one that the fewest others dominate.
    """

    type: Literal["regularized_evolution"] = "regularized_evolution"
    population_size: PositiveInt = 20
    sample_size: PositiveInt = 10

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        alive = finished(problem, history)[-self.population_size :]
        keys = merit(alive)

        def drafts() -> Iterator[Draft]:
            while True:
                if len(alive) < self.population_size:
                    yield Draft(sample_feasible(problem, rng))
                    continue
                drawn = rng.sample(range(len(alive)), min(self.sample_size, len(alive)))
                parent = alive[min(drawn, key=lambda index: keys[index])]
                yield Draft(problem.space.mutate(parent.point, rng), (parent.number,))

        return first_new(problem, history, rng, drafts, strategy=self.type)


PART = RegularizedEvolution

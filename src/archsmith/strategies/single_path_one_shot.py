"""Single-path one-shot search (Guo et al. 2019, arXiv 1904.00420): evolution over inherited scores.

The paper trains shared weights once, one uniformly drawn path at a time, and then searches by
evolution, each score costing no training: the evaluator `supernet` with the method `single_path`
(or `sandwich`) is that training and those scores. Generations are of `population_size`; the parents
of one are the best `num_parents` of everything scored in the generations before it; half of the
children are crossovers, half mutants, and limits are kept throughout.
"""

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, by_merit, finished, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class SinglePathOneShot(Strategy):
    """Evolution in generations, meant for scores with inherited weights.

    A search file that names it has them, by `[supernet] method = "single_path"` unless told
    "sandwich". From Python it works with every evaluator; with several objectives the best are
    those the fewest others dominate.

    Attributes:
        population_size: networks of a generation, the first one sampled.
        num_parents: best networks so far that the next generation descends from.
        crossover_share: children with two parents; the others are mutants.
    """

    supernet_methods: ClassVar[tuple[str, ...]] = ("single_path", "sandwich")

    type: Literal["single_path_one_shot"] = "single_path_one_shot"
    population_size: PositiveInt = 50
    num_parents: PositiveInt = 10
    crossover_share: float = Field(default=0.5, ge=0.0, le=1.0)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        scored = finished(problem, history)
        before = scored[: len(scored) // self.population_size * self.population_size]
        # the same trials for a whole generation: they are ranked once
        parents = [before[index] for index in by_merit(before)[: self.num_parents]]

        def drafts() -> Iterator[Draft]:
            while True:
                if not parents:
                    yield Draft(sample_feasible(problem, rng), note="first generation")
                elif rng.random() < self.crossover_share and len(parents) > 1:
                    first, second = rng.sample(parents, 2)
                    child = problem.space.crossover(first.point, second.point, rng)
                    yield Draft(child, (first.number, second.number), "crossover")
                else:
                    parent = rng.choice(parents)
                    child = problem.space.mutate(parent.point, rng)
                    yield Draft(child, (parent.number,), "mutant")

        return first_new(problem, history, rng, drafts, strategy=self.type)


PART = SinglePathOneShot

"""Optuna's NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017), as it is by default.

Generations are rebuilt from the order of the finished trials, as Optuna counts them: one is full
when `population_size` of its trials are finished. In a space of several families Optuna crosses
what all of them have, the family included, and draws a family's own dimensions at random. What
becomes of children that may not be tried is ours: see `_optuna`.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from archsmith.strategies._optuna import propose_by
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class OptunaNsga2(Strategy):
    """Optuna's NSGA-II sampler. Needs the extra `optuna`.

    Attributes:
        population_size: of a generation, and of the parents kept.
    """

    type: Literal["optuna_nsga2"] = "optuna_nsga2"
    population_size: int = Field(default=50, ge=2)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_by(
            self,
            problem,
            history,
            rng,
            make_sampler=self._sampler,
            num_start=self.population_size,
            attributes=self._attributes,
        )

    def _sampler(self, optuna: Any, seed: int, num_groups: int) -> Any:
        sampler = optuna.samplers.NSGAIISampler(population_size=self.population_size, seed=seed)
        chosen = sampler.get_parent_population

        def in_order(study: Any, generation: int) -> list[Any]:
            return sorted(chosen(study, generation), key=lambda trial: trial.number)

        # by rank when parents are chosen, by number when they are remembered: a search that goes
        # on after a kill would draw others (no subclass: its name would be another cache's)
        sampler.get_parent_population = in_order
        return sampler

    def _attributes(self, optuna: Any, told: int) -> Mapping[str, Any]:
        key = optuna.samplers.NSGAIISampler._get_generation_key()
        return {key: told // self.population_size}


PART = OptunaNsga2

"""A search strategy of your own, as a package that archsmith finds by its entry point."""

import math
import random
from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt

from archsmith.strategies.base import Strategy
from archsmith.strategies.random import Random
from archsmith.trial import Observation, Problem, Proposal


class NearTheBest(Strategy):
    """Mutates one of the `elite_size` best trials; ten random ones come first."""

    type: Literal["near_the_best"] = "near_the_best"
    elite_size: PositiveInt = 5

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        known = {trial.architecture for trial in history}
        scores = [(trial.values(problem.objectives), trial) for trial in history]
        done = [(-t.rung, s, t.number, t) for s, t in scores if s and all(map(math.isfinite, s))]
        elite = sorted(done)[: self.elite_size] if len(done) >= 10 else []
        for *_, parent in rng.choices(elite, k=20) if elite else []:
            point = problem.space.mutate(parent.architecture, rng)
            if point not in known and problem.feasible(point):
                return Proposal(architecture=point, strategy=self.type, parents=(parent.number,))
        return Random().propose(problem, history, rng)  # start points, and what is left


PART = NearTheBest


if __name__ == "__main__":
    from archsmith.testing.toy import run_search, toy_problem

    for strategy in (Random(), NearTheBest()):
        trials = run_search(strategy, toy_problem(seed=1), 100)
        best = min(trials, key=lambda trial: trial.metrics["bits_per_byte"])
        print(f"{strategy.type}: {best.metrics['bits_per_byte']:.4f}", best.architecture.summary())

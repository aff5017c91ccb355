"""Random search over feasible points (Li & Talwalkar 2019, arXiv 1902.07638): always an arm."""

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Random(Strategy):
    """Samples the space; what breaks a limit known beforehand is never proposed."""

    type: Literal["random"] = "random"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        def drafts() -> Iterator[Draft]:
            while True:
                yield Draft(sample_feasible(problem, rng))

        return first_new(problem, history, rng, drafts, strategy=self.type)


PART = Random

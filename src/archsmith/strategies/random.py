"""Random search over feasible points (Li & Talwalkar 2019, arXiv 1902.07638): always an arm."""

import random
from collections.abc import Sequence
from typing import Literal

from archsmith.strategies._drafts import propose_sample
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Random(Strategy):
    """Samples the space; what breaks a limit known beforehand is never proposed."""

    type: Literal["random"] = "random"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_sample(problem, history, rng, strategy=self.type)


PART = Random

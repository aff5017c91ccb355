"""Asynchronous successive halving as an arm (Li et al. 2020, arXiv 1810.05934).

Random candidates; a free worker promotes from the highest rung whose best 1/eta hold one that was
not promoted, and else begins a new one at the bottom.
"""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, NonNegativeInt

from archsmith.halving.settings import Halving
from archsmith.strategies._drafts import propose_sample
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Asha(Strategy):
    """Samples the space; the study promotes as results arrive.

    Attributes:
        eta: one of `eta` goes on.
        min_early_stopping_rate: the rung where candidates begin (the paper's s).
    """

    type: Literal["asha"] = "asha"
    eta: int = Field(default=3, ge=2)
    min_early_stopping_rate: NonNegativeInt = 0

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_sample(problem, history, rng, strategy=self.type)

    def halving(self) -> Halving:
        return Halving(
            rule="asynchronous",
            eta=self.eta,
            first_rung=self.min_early_stopping_rate,
            audit_share=0.0,
        )


PART = Asha

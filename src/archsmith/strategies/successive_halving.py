"""Successive halving as an arm (Jamieson & Talwalkar 2016, arXiv 1502.07943).

Random candidates in brackets of a fixed size; when all of a rung are back, the best 1/eta go on.
"""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from archsmith.halving.settings import Halving
from archsmith.strategies._drafts import propose_sample
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class SuccessiveHalving(Strategy):
    """Samples the space; the study halves its brackets. The next bracket begins while one waits.

    Attributes:
        eta: one of `eta` goes on.
        num_candidates: of a bracket; None for eta^(rungs - 1), which leaves one at the last rung.
    """

    type: Literal["successive_halving"] = "successive_halving"
    eta: int = Field(default=3, ge=2)
    num_candidates: int | None = Field(default=None, ge=1)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_sample(problem, history, rng, strategy=self.type)

    def halving(self) -> Halving:
        return Halving(
            rule="successive", eta=self.eta, num_candidates=self.num_candidates, audit_share=0.0
        )


PART = SuccessiveHalving

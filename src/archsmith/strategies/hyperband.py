"""Hyperband as an arm (Li et al. 2018, arXiv 1603.06560).

Random candidates in brackets of successive halving that trade how many against how long: the first
begins with many at the lowest rung, the last with few at the highest.
"""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from archsmith.halving.settings import Halving
from archsmith.strategies._drafts import propose_sample
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Hyperband(Strategy):
    """Samples the space; the study cycles through as many brackets as it has rungs.

    The paper's resources are the rungs' bytes of text: give rungs that grow by `eta`.
    """

    type: Literal["hyperband"] = "hyperband"
    eta: int = Field(default=3, ge=2)

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_sample(problem, history, rng, strategy=self.type)

    def halving(self) -> Halving:
        return Halving(rule="hyperband", eta=self.eta, audit_share=0.0)


PART = Hyperband

"""Phi-3-mini (Abdin et al. 2024, arXiv 2404.14219) scaled down to the limits."""

import random
from collections.abc import Sequence
from typing import Literal

from archsmith.presets import scaled_phi3
from archsmith.strategies._shapes import propose_shape
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Phi3Shape(Strategy):
    """The widest Phi-3 shape that fits, per quantization and vocabulary; then its neighbours."""

    type: Literal["phi3_shape"] = "phi3_shape"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_shape(problem, history, rng, scaled=scaled_phi3, strategy=self.type)


PART = Phi3Shape

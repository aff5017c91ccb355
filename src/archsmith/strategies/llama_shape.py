"""A Llama drawn by hand (Touvron et al. 2023, arXiv 2302.13971), scaled to the limits."""

import random
from collections.abc import Sequence
from typing import Literal

from archsmith.presets import scaled_llama
from archsmith.strategies._shapes import propose_shape
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class LlamaShape(Strategy):
    """The widest Llama shape that fits, per quantization and vocabulary; then its neighbours."""

    type: Literal["llama_shape"] = "llama_shape"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_shape(problem, history, rng, scaled=scaled_llama, strategy=self.type)


PART = LlamaShape

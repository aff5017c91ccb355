"""The largest that fit, by parameters outside embedding and head, and nothing else.

On a recorded grid of 97 decoder language models over depth, width and heads (Porian et al. 2024,
arXiv 2406.19146), training the five largest below a cap always found the best model below it.
"""

import random
from collections.abc import Sequence
from typing import Literal

from archsmith.strategies.base import Strategy
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.trial import Observation, Problem, Proposal


class LargestFive(Strategy):
    """Proposes feasible points by falling number of non-embedding parameters, whatever the shape.

    It is meant for five trials; asked for more it goes on down the ranking. Raises ConfigError
    where neither `num_non_embedding_params` nor `num_params` is known of every point.
    """

    type: Literal["largest_five"] = "largest_five"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        # the maximizer's ranking without its term for the shape
        proposal = ParameterMaximizer(aspect_weight=0.0).propose(problem, history, rng)
        return proposal.model_copy(update={"strategy": self.type})


PART = LargestFive

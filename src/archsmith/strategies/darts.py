"""Differentiable architecture search (Liu et al. 2018, arXiv 1806.09055): the strongest options.

The relaxation is trained by the evaluator `supernet` with the method `darts`: depth, width,
feed-forward ratio and heads mixed by a softmax that learns on held-out text, in turns with the
weights. What this strategy does is the paper's last step, discretization: it proposes the network
with the greatest sum of logits, then the next ones, which costs a second each and lets inherited
scores correct the softmax. Before there is a policy, and where the space is no supernet's, it
samples.
"""

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from archsmith.strategies._policy import Weighed, propose_by_policy
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Darts(Strategy):
    """Proposes the networks a differentiated mixture favours, the best first.

    A search file that names it trains a supernet with the method `darts`. From Python it needs the
    evaluator `supernet` with that method; without it, plain sampling.
    """

    supernet_methods: ClassVar[tuple[str, ...]] = ("darts",)

    type: Literal["darts"] = "darts"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_by_policy(problem, history, rng, _best_first, strategy=self.type)


def _best_first(weighed: Weighed) -> Iterator[tuple[int, str]]:
    for place, total in enumerate(weighed.logits):
        yield place, f"sum of logits {total:.3f}"


PART = Darts

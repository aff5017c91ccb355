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
from typing import Literal

from archsmith.space.space import ArchitectureSpace
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies._policy import plain_drafts, read_logits, weigh
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class Darts(Strategy):
    """Proposes the networks a differentiated mixture favours, the best first.

    Needs the evaluator `supernet` with the method `darts`; without it, plain sampling.
    """

    type: Literal["darts"] = "darts"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        logits = read_logits(history)
        weighed = None if logits is None else weigh(problem.space, logits)
        known = {observation.architecture for observation in history}

        def drafts() -> Iterator[Draft]:
            if weighed is None:
                yield from plain_drafts(problem, rng)
                return
            assert isinstance(problem.space, ArchitectureSpace)
            for location, total in zip(weighed.locations, weighed.logits, strict=True):
                point = problem.space.build(location)
                # known and infeasible ones are passed over here, so that no count of them ends it
                if point not in known and problem.feasible(point):
                    yield Draft(point, note=f"sum of logits {total:.3f}")

        return first_new(problem, history, rng, drafts, strategy=self.type)


PART = Darts

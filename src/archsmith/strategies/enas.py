"""Efficient NAS (Pham et al. 2018, arXiv 1802.03268): networks drawn from a learned policy.

Policy and shared weights are trained in turns by the evaluator `supernet` with the method `enas`.
What this strategy does is the paper's last step: draw networks from the trained policy, score each
with the shared weights, and keep the best, which is then trained from scratch. Before there is a
policy, and where the space is no supernet's, it samples.
"""

import bisect
import random
from collections.abc import Iterator, Sequence
from typing import Literal

from archsmith.space.space import ArchitectureSpace
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies._policy import plain_drafts, read_logits, weigh
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_DRAWS = 300  # that may be known or infeasible before the most likely new network is taken


class Enas(Strategy):
    """Proposes draws from a policy that was trained in turns with shared weights.

    Needs the evaluator `supernet` with the method `enas`; without it, plain sampling.
    """

    type: Literal["enas"] = "enas"

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
            whole = weighed.shares[-1]
            drawn = (
                bisect.bisect_left(weighed.shares, rng.random() * whole) for _ in range(_DRAWS)
            )
            for numbers, note in ((drawn, "drawn"), (range(len(weighed.shares)), "most likely")):
                for number in numbers:
                    point = problem.space.build(weighed.locations[number])
                    if point not in known and problem.feasible(point):
                        yield Draft(point, note=note)

        return first_new(problem, history, rng, drafts, strategy=self.type)


PART = Enas

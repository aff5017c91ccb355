"""Efficient NAS (Pham et al. 2018, arXiv 1802.03268): networks drawn from a learned policy.

Policy and shared weights are trained in turns by the evaluator `supernet` with the method `enas`.
What this strategy does is the paper's last step: draw networks from the trained policy, score each
with the shared weights, and keep the best, which is then trained from scratch. Before there is a
policy, and where the space is no supernet's, it samples.
"""

import bisect
import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from archsmith.strategies._policy import Weighed, propose_by_policy
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_DRAWS = 300  # that may be known or infeasible before the most likely new network is taken


class Enas(Strategy):
    """Proposes draws from a policy that was trained in turns with shared weights.

    A search file that names it trains a supernet with the method `enas`. From Python it needs the
    evaluator `supernet` with that method; without it, plain sampling.
    """

    supernet_methods: ClassVar[tuple[str, ...]] = ("enas",)

    type: Literal["enas"] = "enas"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        def order(weighed: Weighed) -> Iterator[tuple[int, str]]:
            whole = weighed.shares[-1]
            for _ in range(_DRAWS):
                yield bisect.bisect_left(weighed.shares, rng.random() * whole), "drawn"
            for place in range(len(weighed.shares)):
                yield place, "most likely"

        return propose_by_policy(problem, history, rng, order, strategy=self.type)


PART = Enas

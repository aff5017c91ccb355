"""Where a surrogate predicts nothing: local search or evolution, whichever did better of late.

Decided from the history alone. A surrogate is asked only while the values of trials left out
correlate with what it predicts of them by more than chance would; the rivals' trials are told by
the strategy they carry.
"""

import math
from collections.abc import Sequence

import numpy as np

from archsmith.strategies._drafts import Finished
from archsmith.strategies._pool import by_merit
from archsmith.strategies.base import Strategy
from archsmith.strategies.local_search import LocalSearch
from archsmith.strategies.nsga2 import Nsga2
from archsmith.strategies.regularized_evolution import RegularizedEvolution
from archsmith.trial import Observation

_FEWEST = 20  # trials from which a correlation is judged
_CHANCE = 1.28  # standard errors: nine of ten surrogates that know nothing correlate less
_LATEST = 12  # trials of each rival that are compared
_ENOUGH = 4  # of its trials before a rival is judged


def is_chance(correlation: float, count: int) -> bool:
    """Whether a rank correlation of so many trials is none to trust."""
    return count >= _FEWEST and correlation < _CHANCE / math.sqrt(count - 1)


def rival(history: Sequence[Observation], trials: Sequence[Finished], *, several: bool) -> Strategy:
    """Who goes on: the one whose latest trials rank better among all, or has had too few."""
    evolution: Strategy = Nsga2() if several else RegularizedEvolution()
    rivals: tuple[Strategy, ...] = (LocalSearch(), evolution)
    place = {trials[index].number: rank for rank, index in enumerate(by_merit(trials))}
    ranks = [
        [place[o.number] for o in history if o.strategy == one.type and o.number in place]
        for one in rivals
    ]
    fewest = min(range(len(rivals)), key=lambda index: len(ranks[index]))
    if len(ranks[fewest]) < _ENOUGH:
        return rivals[fewest]
    means = [float(np.mean(own[-_LATEST:])) for own in ranks]
    return rivals[int(np.argmin(means))]

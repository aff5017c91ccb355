"""Optuna's TPE (Bergstra et al. 2011; Watanabe 2023, arXiv 2304.11127), as it is by default.

With several objectives it is the multi-objective TPE (Ozaki et al. 2022, doi 10.1613/jair.1.13188),
each parameter by itself; with one objective all parameters together. Trials under way count as bad
ones ("constant liar"), as by default. The one exception: in a space of several families parameters
are suggested together in groups that exist together, whatever the number of objectives, since a
dimension of one family exists in its own trials alone. What becomes of suggestions that may not be
tried is ours: see `_optuna`.
"""

import random
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from archsmith.strategies._optuna import propose_by
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class OptunaTpe(Strategy):
    """Optuna's tree-structured Parzen estimator. Needs the extra `optuna`.

    Attributes:
        n_startup_trials: random points first.
        n_ei_candidates: draws among which the best expected improvement is taken.
    """

    type: Literal["optuna_tpe"] = "optuna_tpe"
    n_startup_trials: PositiveInt = 10
    n_ei_candidates: PositiveInt = 24

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return propose_by(
            self,
            problem,
            history,
            rng,
            make_sampler=self._sampler,
            num_start=self.n_startup_trials,
        )

    def _sampler(self, optuna: Any, seed: int, num_groups: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=self.n_startup_trials,
                n_ei_candidates=self.n_ei_candidates,
                # dimensions of one family exist in its own trials alone
                group=num_groups > 1,
                multivariate=True if num_groups > 1 else None,
                seed=seed,
            )


PART = OptunaTpe

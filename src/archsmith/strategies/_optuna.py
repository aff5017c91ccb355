"""Optuna's samplers as strategies (Akiba et al. 2019, arXiv 1907.10902): an in-memory study.

The study is made from the history, asked, and thrown away or kept for the next call that extends
the same history; it never touches a storage. Choices become integers where neighbouring options
are alike and categories elsewhere; in a space of several families the dimensions of a family are
suggested under it. Trials outside measured limits are not told.
"""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from archsmith.errors import MissingExtraError
from archsmith.strategies._choices import Answer, Choices
from archsmith.strategies._drafts import Draft, Finished, finished, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_ASKS = 8  # questions per proposal: what is asked may be known, infeasible or not exist
# (optuna, seed, number of groups) -> sampler
MakeSampler = Callable[[Any, int, int], Any]
# (optuna, number of trials told before) -> the system attributes a sampler would have left
Attributes = Callable[[Any, int], Mapping[str, Any]]


def propose_by(
    strategy: Strategy,
    problem: Problem,
    history: Sequence[Observation],
    rng: random.Random,
    *,
    make_sampler: MakeSampler,
    attributes: Attributes = lambda optuna, told: {},
) -> Proposal:
    """What the sampler suggests after the history. Raises MissingExtraError without Optuna."""

    def drafts() -> Iterator[Draft]:
        bridge = _bridge(problem, strategy.type, attributes)
        bridge.tell(tuple(t for t in finished(problem, history) if t.excess == 0))
        for _ in range(_ASKS):
            sampler = make_sampler(bridge.optuna, rng.randrange(2**32), len(bridge.groups))
            point = bridge.ask(sampler)
            if point is not None:
                yield Draft(point)

    return first_new(problem, history, rng, drafts, strategy=strategy.type)


@lru_cache(maxsize=4)
def _bridge(problem: Problem, name: str, attributes: Attributes) -> "_Bridge":
    return _Bridge(problem, name, attributes)


class _Bridge:
    """A study that holds what was told last."""

    def __init__(self, problem: Problem, name: str, attributes: Attributes) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtraError(f"strategy '{name}'", "optuna") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna: Any = optuna
        self._choices = Choices(problem.space, purpose=name)
        self._num_objectives = len(problem.objectives)
        self._attributes = attributes
        self.groups = [
            {
                f"{group}.{place}": optuna.distributions.IntDistribution(0, choice.size - 1)
                if choice.is_ordered
                else optuna.distributions.CategoricalDistribution(range(choice.size))
                for place, choice in enumerate(choices)
            }
            for group, choices in enumerate(self._choices.groups)
        ]
        self._family = optuna.distributions.CategoricalDistribution(range(len(self.groups)))
        self._start()

    def _start(self) -> None:
        self._told: tuple[Finished, ...] = ()
        self._study = self.optuna.create_study(directions=["minimize"] * self._num_objectives)

    def tell(self, trials: tuple[Finished, ...]) -> None:
        """Make the study hold these trials and no others."""
        if trials[: len(self._told)] != self._told:
            self._start()
        for number in range(len(self._told), len(trials)):
            trial = trials[number]
            answer = self._choices.answer(trial.point)
            distributions = dict(self.groups[answer.group])
            params = dict(zip(distributions, answer.options, strict=True))
            if len(self.groups) > 1:
                distributions["family"], params["family"] = self._family, answer.group
            self._study.add_trial(
                self.optuna.trial.create_trial(
                    params=params,
                    distributions=distributions,
                    values=list(trial.values),
                    system_attrs=dict(self._attributes(self.optuna, number)),
                )
            )
        self._told = trials

    def ask(self, sampler: Any) -> Any | None:
        """A point the sampler suggests, or None where its combination does not exist."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            self._study.sampler = sampler
            trial = self._study.ask()
            several = len(self.groups) > 1
            group = trial._suggest("family", self._family) if several else 0
            options = tuple(
                int(trial._suggest(name, distribution))
                for name, distribution in self.groups[group].items()
            )
            # what was asked is told later, if it is tried: the study forgets the question
            self._study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        return self._choices.point(Answer(group, options))

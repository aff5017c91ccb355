"""Optuna's samplers as strategies (Akiba et al. 2019, arXiv 1907.10902): an in-memory study.

The study is made from the history, asked, and thrown away or kept for the next call that extends
the same history; it never touches a storage. Choices become integers where neighbouring options
are alike and categories elsewhere. In a space of several families the family is a category, and a
parameter is named by its dimension and choices, so that families share what they have in common.

Optuna's own are the sampler, its start and what it makes of the trials told. Ours is what becomes
of an answer that may not be tried. While the sampler still draws at random (`num_start`), the next
answer is asked for, at most eight, and then a feasible sample drawn. Afterwards the nearest point
that may be tried stands in for an answer that breaks a limit known beforehand or, on a recorded
table, names no row (`_choices.Choices.drafts`); one tried before is asked for again. Optuna is
always told the parameters of what was tried. Trials under way are told as running, so that a
sampler that minds them does. On a ladder a trial is told with its score at the first rung it
finished (`_rungs`). Once a trial lies outside measured limits, the excess of every trial is told as
a constraint: Optuna's samplers then put those within first, and of the others the nearest.
"""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from archsmith.errors import MissingExtraError
from archsmith.strategies._choices import Answer, Choices
from archsmith.strategies._drafts import Draft, Finished, first_new
from archsmith.strategies._rungs import at_first_rungs, compared
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal, TrialState

_ASKS = 8  # questions per proposal: what is answered may be known, infeasible or not exist
_FAMILY = "family"
_LIMITS = "limits"
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
    num_start: int,
    attributes: Attributes = lambda optuna, told: {},
) -> Proposal:
    """What the sampler suggests after the history. Raises MissingExtraError without Optuna.

    `num_start` is the number of trials before which the sampler draws at random.
    """

    def drafts() -> Iterator[Draft]:
        bridge = _bridge(problem, strategy.type, attributes)
        told = tuple(compared(problem, at_first_rungs(problem, history)))
        bridge.tell(told, running=_under_way(history, told))
        known = {observation.architecture for observation in history}
        for _ in range(_ASKS):
            sampler = make_sampler(bridge.optuna, rng.randrange(2**32), len(bridge.groups))
            answer = bridge.ask(sampler)
            if len(told) >= num_start:
                yield from bridge.choices.drafts(problem, answer, known, rng)
            elif (point := bridge.choices.point(answer)) is not None:
                yield Draft(point)

    return first_new(problem, history, rng, drafts, strategy=strategy.type)


def _under_way(history: Sequence[Observation], trials: Sequence[Finished]) -> list[Any]:
    """Points that are being tried and of which nothing is known yet, each once."""
    known = {trial.point for trial in trials}
    pending = (o.architecture for o in history if o.state == TrialState.PENDING)
    return [point for point in dict.fromkeys(pending) if point not in known]


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
        self.choices = Choices(problem.space, purpose=name)
        self._num_objectives = len(problem.objectives)
        self._attributes = attributes
        self.groups = [
            {
                choice.name: optuna.distributions.IntDistribution(0, choice.size - 1)
                if choice.is_ordered
                else optuna.distributions.CategoricalDistribution(range(choice.size))
                for choice in choices
            }
            for choices in self.choices.groups
        ]
        self._family = optuna.distributions.CategoricalDistribution(range(len(self.groups)))
        self._start()

    def _start(self) -> None:
        self._told: tuple[Finished, ...] = ()
        self._is_limited = False  # by what only a measurement shows
        self._running: list[int] = []  # numbers in the study
        self._study = self.optuna.create_study(directions=["minimize"] * self._num_objectives)

    def tell(self, trials: tuple[Finished, ...], *, running: Sequence[Any] = ()) -> None:
        """Make the study hold these trials and no others, and points that are being tried."""
        is_limited = any(trial.excess > 0 for trial in trials)
        if trials[: len(self._told)] != self._told or is_limited != self._is_limited:
            self._start()
            self._is_limited = is_limited
        failed = self.optuna.trial.TrialState.FAIL
        for number in self._running:
            self._study.tell(number, state=failed)  # over, or told anew below
        for number in range(len(self._told), len(trials)):
            self._add(
                trials[number].point,
                values=list(trials[number].values),
                constraints={_LIMITS: trials[number].excess} if is_limited else None,
                system_attrs=dict(self._attributes(self.optuna, number)),
            )
        self._told = trials
        self._running = [
            self._add(point, state=self.optuna.trial.TrialState.RUNNING) for point in running
        ]

    def _add(self, point: Any, **what_is_known: Any) -> int:
        """Tell of a point; the number the study gives it."""
        answer = self.choices.answer(point)
        distributions = dict(self.groups[answer.group])
        params = dict(zip(distributions, answer.options, strict=True))
        if len(self.groups) > 1:
            distributions[_FAMILY], params[_FAMILY] = self._family, answer.group
        number = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            self.optuna.trial.create_trial(
                params=params, distributions=distributions, **what_is_known
            )
        )
        return number

    def ask(self, sampler: Any) -> Answer:
        """What the sampler suggests."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            self._study.sampler = sampler
            trial = self._study.ask()
            several = len(self.groups) > 1
            group = trial._suggest(_FAMILY, self._family) if several else 0
            options = tuple(
                int(trial._suggest(name, distribution))
                for name, distribution in self.groups[group].items()
            )
            # what was asked is told later, if it is tried: the study forgets the question
            self._study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        return Answer(group, options)

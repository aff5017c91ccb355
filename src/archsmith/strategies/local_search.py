"""Local search (White et al. 2020, arXiv 2005.02960): a strong baseline where noise is low.

A descent starts at the best of some random points and tries the neighbours of its incumbent. It
moves to a better one at once (`move = "first"`), or to the best of all of them (`move = "best"`).
At a local optimum it goes on from the next best point known (`at_optimum = "next"`) or starts anew
at random (`"restart"`). What is known of a neighbour already is used, not tried again. Of the
paper are the ten random points and the move to the best or the first; its authors' program stops at
a local optimum, ours spends the rest of its trials.

With several objectives this is Pareto local search (Paquete et al. 2004,
doi 10.1007/978-3-642-17144-4_7): the neighbours of every point of the front are tried, in any
order, and a new random point follows when all of them are known.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import PositiveInt

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, Finished, finished, first_new, merit
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal


class _Step(NamedTuple):
    """An incumbent and those of its neighbours that are still to be tried."""

    incumbent: Finished
    untried: list[Any]


class LocalSearch(Strategy):
    """Tries the neighbours of the incumbent until none is better, then goes on elsewhere.

    Attributes:
        num_start: random points at the start of a descent; the best is its first incumbent.
        move: at the first better neighbour, or to the best of all once all are tried.
        at_optimum: go on from the next best point whose neighbours are not all tried, or start a
            new descent.
    """

    type: Literal["local_search"] = "local_search"
    num_start: PositiveInt = 10
    move: Literal["first", "best"] = "first"
    at_optimum: Literal["next", "restart"] = "next"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        known = {observation.architecture for observation in history}
        trials = finished(problem, history)
        if len(problem.objectives) > 1:
            step = self._step_from_front(problem, trials, known, rng)
        else:
            step = self._step_of_descent(problem, history, trials, known)

        def drafts() -> Iterator[Draft]:
            if step is not None:
                rng.shuffle(step.untried)
                for point in step.untried:
                    yield Draft(point, (step.incumbent.number,), "neighbour of the incumbent")
            while True:
                yield Draft(sample_feasible(problem, rng), note="start of a descent")

        return first_new(problem, history, rng, drafts, strategy=self.type)

    def _step_of_descent(
        self,
        problem: Problem,
        history: Sequence[Observation],
        trials: Sequence[Finished],
        known: set[Any],
    ) -> _Step | None:
        """Where the present descent stands; None where another random point is due."""
        keys = dict(zip((trial.point for trial in trials), merit(trials), strict=True))
        by_point = {trial.point: trial for trial in trials}
        starts = self._starts(problem, history)
        if starts is None:  # nothing of this strategy yet: it goes on from whatever is known
            starts = [trial.point for trial in trials]
            if len(starts) < self.num_start:
                return None
        elif len(starts) < self.num_start:
            return None
        incumbent = min((p for p in starts if p in keys), key=keys.__getitem__, default=None)
        while incumbent is not None:
            neighbours = list(problem.space.neighbours(incumbent))
            untried = _untried(problem, neighbours, known)
            better = _best_below(incumbent, neighbours, keys)
            if untried and (better is None or self.move == "best"):
                return _Step(by_point[incumbent], untried)
            incumbent = better
        return self._next_best(problem, trials, keys, known) if self.at_optimum == "next" else None

    def _next_best(
        self,
        problem: Problem,
        trials: Sequence[Finished],
        keys: Mapping[Any, tuple[float, ...]],
        known: set[Any],
    ) -> _Step | None:
        """The best point of all with neighbours that are still to be tried."""
        ranked = sorted(trials, key=lambda trial: keys[trial.point])
        return _first_step(problem, ranked, known)

    def _starts(self, problem: Problem, history: Sequence[Observation]) -> list[Any] | None:
        """Random points at the start of the present descent; None before the first."""
        given = set(problem.start)
        own = [
            observation
            for observation in history
            if observation.strategy == self.type and observation.architecture not in given
        ]
        starts: list[Any] = []
        for observation in reversed(own):
            if observation.parents and starts:
                break
            if not observation.parents:
                starts.append(observation.architecture)
        # random points that follow a local optimum at once are a start of their own
        return starts[: (len(starts) - 1) % self.num_start + 1] if starts else None

    def _step_from_front(
        self,
        problem: Problem,
        trials: Sequence[Finished],
        known: set[Any],
        rng: random.Random,
    ) -> _Step | None:
        if len(trials) < self.num_start:
            return None
        front = _front(trials)
        rng.shuffle(front)
        return _first_step(problem, front, known)


def _first_step(problem: Problem, trials: Sequence[Finished], known: set[Any]) -> _Step | None:
    """From the first of `trials` that has neighbours still to be tried."""
    for trial in trials:
        untried = _untried(problem, problem.space.neighbours(trial.point), known)
        if untried:
            return _Step(trial, untried)
    return None


def _untried(problem: Problem, neighbours: Iterable[Any], known: set[Any]) -> list[Any]:
    return [point for point in neighbours if point not in known and problem.feasible(point)]


def _best_below(
    incumbent: Any, neighbours: Sequence[Any], keys: Mapping[Any, tuple[float, ...]]
) -> Any | None:
    better = [p for p in neighbours if p in keys and keys[p] < keys[incumbent]]
    return min(better, key=keys.__getitem__) if better else None


def _front(trials: Sequence[Finished]) -> list[Finished]:
    """Trials that no other dominates, among those within limits and at the highest rung."""
    from moocore import is_nondominated

    best = min((trial.excess, -trial.rung) for trial in trials)
    alike = [trial for trial in trials if (trial.excess, -trial.rung) == best]
    kept = is_nondominated(np.array([trial.values for trial in alike]))
    return [trial for trial, keep in zip(alike, kept, strict=True) if keep]


PART = LocalSearch

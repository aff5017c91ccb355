"""BANANAS (White et al. 2019, arXiv 1910.11858): an ensemble predicts, Thompson sampling chooses.

After some random points, in every iteration: an ensemble of small networks is trained on all
finished trials; the best points are mutated into a pool; each point of the pool draws its value
from a normal distribution with the ensemble's mean and deviation there (independent Thompson
sampling), and the lowest draws are tried, `per_iteration` of them before the next training.

The networks read the space's code of a point and its features. With several objectives each is
predicted, those known without training are taken as they are, and every draw is ranked by a
Chebyshev distance with weights of its own. Once a trial lies outside measured limits the networks
predict that, too: points drawn within limits come first, and of the others those drawn nearest.

On a ladder trials count with their scores at the first rung they finished (`_rungs`).

It departs from the authors' program in five things: a network has three hidden layers of 20 units,
theirs has ten; it reads the space's code and features, theirs a path encoding of cells, which a
space without paths does not have; a mutant is one or two steps away, so that the pool outlasts a
small neighbourhood, theirs is one mutation; and several objectives and measured limits are ours.
"""

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, Finished, first_new
from archsmith.strategies._ensemble import Ensemble
from archsmith.strategies._rungs import at_first_rungs, compared
from archsmith.strategies.base import Strategy
from archsmith.strategies.nsga2 import survive
from archsmith.trial import Observation, Problem, Proposal


class Bananas(Strategy):
    """Mutates the best, lets an ensemble of predictors choose among the mutants.

    Attributes:
        num_start: random points before the first training.
        per_iteration: trials between two trainings of the ensemble.
        num_parents: the best trials, which are mutated.
        pool_size: mutants among which is chosen.
        num_networks: of the ensemble.
        num_layers: hidden layers of a network.
        hidden_size: units of a layer.
        num_steps: of Adam, each on `batch_size` trials.
    """

    type: Literal["bananas"] = "bananas"
    num_start: PositiveInt = 10
    per_iteration: PositiveInt = 10
    num_parents: PositiveInt = 10
    pool_size: PositiveInt = 100
    num_networks: PositiveInt = 5
    num_layers: PositiveInt = 3
    hidden_size: PositiveInt = 20
    num_steps: PositiveInt = 400
    batch_size: PositiveInt = 32

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        trials = at_first_rungs(problem, history)
        learned = 0
        if len(trials) >= self.num_start:
            done = (len(trials) - self.num_start) // self.per_iteration
            learned = self.num_start + done * self.per_iteration

        def drafts() -> Iterator[Draft]:
            if learned:
                known = {observation.architecture for observation in history}
                for draft in _chosen(problem, self, tuple(compared(problem, trials[:learned]))):
                    if draft.point not in known:
                        yield draft
            while True:
                yield Draft(sample_feasible(problem, rng))

        return first_new(problem, history, rng, drafts, strategy=self.type)


@lru_cache(maxsize=4)
def _chosen(problem: Problem, strategy: Bananas, trials: tuple[Finished, ...]) -> tuple[Draft, ...]:
    """The pool of one iteration, the most promising first; the same for the same trials."""
    seed = f"{strategy.type}:{problem.seed}:{len(trials)}"
    rng, draws = random.Random(seed), np.random.default_rng(list(seed.encode()))
    pool = _pool(problem, strategy, trials, rng)
    if not pool:
        return ()
    values = np.array([trial.values for trial in trials])
    excess = np.array([trial.excess for trial in trials])
    is_limited = bool((excess > 0).any())
    outside = np.where(excess > 0, 2 - 1 / (1 + excess), 0.0)  # 0 within, from 1 to 2 outside
    ensemble = Ensemble(
        _inputs(problem, [trial.point for trial in trials]),
        np.c_[values, outside] if is_limited else values,
        num_networks=strategy.num_networks,
        num_layers=strategy.num_layers,
        hidden_size=strategy.hidden_size,
        num_steps=strategy.num_steps,
        batch_size=strategy.batch_size,
        seed=rng.randrange(2**32),
    )
    predicted = ensemble.predict(_inputs(problem, [draft.point for draft in pool]))
    sampled = draws.normal(predicted.mean(axis=0), predicted.std(axis=0))  # [N, K]
    for column, name in enumerate(problem.objectives):
        for row, draft in enumerate(pool):
            sampled[row, column] = problem.static_metrics(draft.point).get(
                name, sampled[row, column]
            )
    order = _order(sampled[:, : values.shape[1]], values, draws)
    if is_limited:
        drawn = np.where(sampled[:, -1] < 0.5, 0.0, sampled[:, -1])
        order.sort(key=drawn.__getitem__)
    return tuple(pool[index] for index in order)


def _pool(
    problem: Problem, strategy: Bananas, trials: Sequence[Finished], rng: random.Random
) -> list[Draft]:
    """Feasible mutants of the best trials, none of them tried."""
    tried = {trial.point for trial in trials}
    parents = [survivor.trial for survivor in survive(trials, strategy.num_parents)]
    pool: dict[Any, Draft] = {}
    for attempt in range(4 * strategy.pool_size):
        parent = parents[attempt % len(parents)]
        child = problem.space.mutate(parent.point, rng)
        if rng.random() < 0.5:  # one step or two, so that the pool outlasts a small neighbourhood
            child = problem.space.mutate(child, rng)
        if child not in tried and child not in pool and problem.feasible(child):
            pool[child] = Draft(child, (parent.number,), "drawn by Thompson sampling")
            if len(pool) == strategy.pool_size:
                break
    return list(pool.values())


def _inputs(problem: Problem, points: Sequence[Any]) -> np.ndarray:
    """Codes and features of points. [N, F]"""
    rows = []
    for point in points:
        features = problem.space.features(point)
        rows.append([*problem.space.encode(point), *(features[name] for name in sorted(features))])
    return np.nan_to_num(np.array(rows, dtype=np.float64))


def _order(sampled: np.ndarray, values: np.ndarray, draws: np.random.Generator) -> list[int]:
    """Places in the pool, the lowest draw first; with several objectives by changing weights."""
    if sampled.shape[1] == 1:
        return [int(index) for index in np.argsort(sampled[:, 0], kind="stable")]
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    unit = (sampled - low) / np.where(span > 0, span, 1.0)
    left, order = list(range(len(unit))), list[int]()
    while left:
        weights = draws.dirichlet(np.ones(unit.shape[1]))
        weighted = weights * unit[left]
        best = int(np.argmin(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)))
        order.append(left.pop(best))
    return order


PART = Bananas

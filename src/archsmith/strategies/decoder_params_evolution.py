"""LiteTransformerSearch (Javaheripi et al. 2022, arXiv 2203.02094): decoder parameters as proxy.

Nothing is trained while it searches. Decoder parameters are all but embedding and head; the paper
counts them in dense networks, and here experts count too, used by a token or not. An evolution
looks for the Pareto front of these, more being better, against the costs that are known without
training: objectives that are cost models, else the limited metrics, else all parameters. In every
generation the parents are the points of the fronts so far, half of the children mutants and half
crossings. Then the points of that front are trained, the largest first and then the one farthest,
in the proxy's space, from those already proposed; after them the next fronts of what evolution saw.
Where no objective is such a cost, only limits are, and a small network wins nothing by being cheap:
all that evolution saw is then trained by decoder parameters, the most first.
"""

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from archsmith.errors import ConfigError
from archsmith.space.feasible import sample_feasible
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_PROXIES = ("num_non_embedding_params", "num_params")
_TRIES = 20  # children that may be infeasible before a parent is given up


class DecoderParamsEvolution(Strategy):
    """Trains the front that evolution found with the number of decoder parameters as proxy.

    Attributes:
        population_size: random points at the start, and parents kept per generation.
        generations: of the evolution without training.
        children: per generation, half mutants and half crossings.
    """

    type: Literal["decoder_params_evolution"] = "decoder_params_evolution"
    population_size: PositiveInt = 100
    generations: PositiveInt = 30
    children: PositiveInt = 100

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        def drafts() -> Iterator[Draft]:
            known = {observation.architecture for observation in history}
            for point, front in _ranked(problem, self):
                if point not in known:
                    place = "proxy's front" if front == 0 else f"front {front} of the proxy"
                    yield Draft(point, note=f"from the {place}")

        return first_new(problem, history, rng, drafts, strategy=self.type)


@lru_cache(maxsize=8)
def _ranked(problem: Problem, strategy: DecoderParamsEvolution) -> list[tuple[Any, int]]:
    """(point, front) in the order of training; found once per problem."""
    rng = random.Random(f"{strategy.type}:{problem.seed}")
    seen: dict[Any, tuple[float, ...]] = {}

    def look(point: Any) -> None:
        if point not in seen and problem.feasible(point):
            seen[point] = _proxy_values(problem, point)

    for _ in range(strategy.population_size):
        look(sample_feasible(problem, rng))
    for _ in range(strategy.generations):
        parents, before = _parents(seen, strategy.population_size), len(seen)
        for child in range(strategy.children):
            _breed(problem, parents, look, rng, crossed=child % 2 == 1)
        if len(seen) == before:  # a small space: nothing is left to look at
            break
    points = list(seen)
    values = np.array([seen[point] for point in points])
    ranked: list[tuple[Any, int]] = []
    for number, front in enumerate(NonDominatedSorting().do(values)):
        ranked += [(points[index], number) for index in _spread(values, list(front))]
    if _is_only_limited(problem, points[0]):
        ranked.sort(key=lambda place: seen[place[0]][0])  # stable: of equals the better front
    return ranked


def _breed(
    problem: Problem, parents: list[Any], look: Any, rng: random.Random, *, crossed: bool
) -> None:
    for _ in range(_TRIES):
        child = rng.choice(parents)
        if crossed:
            child = problem.space.crossover(child, rng.choice(parents), rng)
        else:
            child = problem.space.mutate(child, rng)
        if problem.feasible(child):
            look(child)
            return


def _proxy_values(problem: Problem, point: Any) -> tuple[float, ...]:
    """Minus the logarithm of the proxy, then the costs."""
    metrics = problem.static_metrics(point)
    proxy = next((name for name in _PROXIES if name in metrics), None)
    if proxy is None:
        raise ConfigError(
            "decoder_params_evolution needs the metric 'num_non_embedding_params' or 'num_params' "
            "of every point"
        )
    costs = [name for name in problem.objectives if name in metrics]
    # what training takes is no cost of the network that comes of it
    limited = (limit.metric for limit in problem.limits if limit.metric != "train_memory_bytes")
    costs = costs or [name for name in limited if name in metrics]
    signs = {limit.metric: -1.0 for limit in problem.limits if limit.comparison == ">="}
    names = [name for name in dict.fromkeys(costs or ["num_params"]) if name in metrics]
    costly = [signs.get(name, 1.0) * metrics[name] for name in names if name != proxy]
    return (-float(np.log(metrics[proxy])), *costly)


def _is_only_limited(problem: Problem, point: Any) -> bool:
    """Whether costs have limits but are no objective."""
    metrics = problem.static_metrics(point)
    limited = any(limit.metric in metrics for limit in problem.limits)
    return limited and not any(name in metrics for name in problem.objectives)


def _parents(seen: dict[Any, tuple[float, ...]], size: int) -> list[Any]:
    """The best fronts, whole, until there are enough parents."""
    points = list(seen)
    parents: list[Any] = []
    for front in NonDominatedSorting().do(np.array(list(seen.values())), n_stop_if_ranked=size):
        parents += [points[index] for index in front]
        if len(parents) >= size:
            break
    return parents


def _spread(values: np.ndarray, front: list[int]) -> list[int]:
    """A front's members: the largest first, then always the farthest from those before."""
    members = values[front]
    span = np.ptp(members, axis=0)
    unit = (members - members.min(axis=0)) / np.where(span > 0, span, 1.0)
    order = [int(np.argmin(members[:, 0]))]
    distance = np.linalg.norm(unit - unit[order[0]], axis=1)
    left = np.ones(len(front), dtype=bool)
    left[order[0]] = False
    while left.any():
        chosen = int(np.argmax(np.where(left, distance, -1.0)))
        order.append(chosen)
        left[chosen] = False
        distance = np.minimum(distance, np.linalg.norm(unit - unit[chosen], axis=1))
    return [front[index] for index in order]


PART = DecoderParamsEvolution

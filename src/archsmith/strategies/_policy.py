"""Proposals by the policy of a supernet: what it says of a space's points, read from the history.

The evaluator `supernet` attaches the logits of its policy to every score, as metrics named
`logit:DIMENSION=OPTION`: the history is all a strategy sees. A policy whose choices depend on each
other names its likeliest networks, too: `logit:DIMENSION=OPTION, DIMENSION=OPTION`, each with the
logarithm of its probability. Where there are such, they count instead of the single options.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from archsmith.space.elastic import option_name
from archsmith.space.feasible import sample_feasible
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.strategies._drafts import Draft, first_new
from archsmith.trial import Observation, Problem, Proposal, Space

_PREFIX = "logit:"
_AND = ", "
_LEAST_SHARE = 1e-9  # of all networks the policy does not name
_MOST_POINTS = 200_000  # a supernet has far fewer parts


class Weighed(NamedTuple):
    """Points with what the policy says of them, the greatest first: the logarithm of a network's
    probability, or the sum of its options' logits."""

    locations: tuple[Location, ...]
    logits: tuple[float, ...]
    shares: tuple[float, ...]  # of probability, summed up to and including each


def read_logits(history: Sequence[Observation]) -> Mapping[str, float] | None:
    """The latest policy in the history, `DIMENSION=OPTION` to logit; None without one."""
    for observation in reversed(history):
        found = {
            name.removeprefix(_PREFIX): value
            for name, value in observation.metrics.items()
            if name.startswith(_PREFIX) and math.isfinite(value)
        }
        if found:
            return found
    return None


def weigh(space: Space, logits: Mapping[str, float]) -> Weighed | None:
    """Every point of a space of architectures; None where there are too many, or it is another."""
    if not isinstance(space, ArchitectureSpace) or space.size() > _MOST_POINTS:
        return None
    return _weigh(space, tuple(sorted(logits.items())))


@lru_cache(maxsize=4)
def _weigh(space: ArchitectureSpace, logits: tuple[tuple[str, float], ...]) -> Weighed:
    networks = {frozenset(name.split(_AND)): log for name, log in logits if _AND in name}
    found = _by_networks(space, networks) if networks else _by_options(space, dict(logits))
    found.sort(key=lambda pair: -pair[0])  # stable: equals stay in the order of the space
    highest = found[0][0]
    shares = accumulate(math.exp(total - highest) for total, _ in found)
    return Weighed(
        tuple(location for _, location in found),
        tuple(total for total, _ in found),
        tuple(shares),
    )


def _by_options(
    space: ArchitectureSpace, logits: Mapping[str, float]
) -> list[tuple[float, Location]]:
    """Every point with the sum of its options' logits; an option unknown to the policy has 0."""
    found = []
    for number, branch in enumerate(space.branches):
        tables = [
            [
                logits.get(f"{dimension.name}={option_name(choice)}", 0.0)
                for choice in dimension.choices
            ]
            for dimension in branch.dimensions
        ]
        for indices in branch.points():
            total = sum(table[index] for table, index in zip(tables, indices, strict=True))
            found.append((total, Location(number, indices)))
    return found


def _by_networks(
    space: ArchitectureSpace, networks: Mapping[frozenset[str], float]
) -> list[tuple[float, Location]]:
    """Every point with the logarithm of its network's probability, whatever it is beside that; the
    networks that are not named share what is left."""
    dimensions = {option.partition("=")[0] for network in networks for option in network}
    found, others = [], []
    for number, branch in enumerate(space.branches):
        names = [
            [f"{dimension.name}={option_name(choice)}" for choice in dimension.choices]
            if dimension.name in dimensions
            else None
            for dimension in branch.dimensions
        ]
        for indices in branch.points():
            options = zip(names, indices, strict=True)
            own = frozenset(known[index] for known, index in options if known is not None)
            if own in networks:
                found.append((networks[own], Location(number, indices)))
            else:
                others.append(Location(number, indices))
    if others:
        left = max(1.0 - sum(map(math.exp, networks.values())), _LEAST_SHARE)
        points_per_network = max(len(found) / len(networks), 1.0)
        each = math.log(left * points_per_network / len(others))
        found += [(each, location) for location in others]
    return found


def propose_by_policy(
    problem: Problem,
    history: Sequence[Observation],
    rng: random.Random,
    order: Callable[[Weighed], Iterator[tuple[int, str]]],
    *,
    strategy: str,
) -> Proposal:
    """The first new and feasible point in the `order` of a policy; a sample without one.

    `order` gives places in the weighed points, each with a note on why it stands there.
    """
    logits = read_logits(history)
    weighed = None if logits is None else weigh(problem.space, logits)
    known = {observation.architecture for observation in history}

    def drafts() -> Iterator[Draft]:
        if weighed is None:
            while True:
                yield Draft(sample_feasible(problem, rng), note="no policy in the history: sampled")
        assert isinstance(problem.space, ArchitectureSpace)
        for place, note in order(weighed):
            point = problem.space.build(weighed.locations[place])
            # known and infeasible ones are passed over here, so that no count of them ends it
            if point not in known and problem.feasible(point):
                yield Draft(point, note=note)

    return first_new(problem, history, rng, drafts, strategy=strategy)

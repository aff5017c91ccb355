"""Points a surrogate is asked about: mutants and neighbours of the best trials, and samples."""

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from archsmith.space.feasible import sample_feasible
from archsmith.strategies import _drafts
from archsmith.strategies._drafts import Draft, Finished, merit
from archsmith.surrogate.readings import CHOICE_PREFIX, has_law
from archsmith.trial import Observation, Problem

_INCUMBENTS = 6  # trials that are mutated
_COMPARED = 400  # latest trials among which those of several objectives are looked for
_FAILURES = 5  # trials without improvement until the trust region shrinks
_RADII = (4, 2, 1)  # mutations at most; then it grows again
_SMALL = 600  # spaces of so many points are looked at whole
_NEIGHBOURS = 48  # of each incumbent at most
_DESIGN = 48  # feasible samples of which the one farthest from all trials starts the search
_MANY = 16  # levels of a choice from which it counts as a number
_SHARED = 8  # finished trials over which samples from everywhere are kept
_LOCAL = 0.7  # share of the pool near the incumbents


def by_merit(trials: Sequence[Finished]) -> list[int]:
    """Indices of trials, the best first.

    With several objectives the latest are compared, and whatever else nobody dominates.
    """
    compared = _compared(trials)
    ranked = _drafts.by_merit([trials[index] for index in compared])
    return [compared[place] for place in ranked]


def front(trials: Sequence[Finished]) -> list[int]:
    """Indices of the best trials: with several objectives all that no other dominates."""
    compared = _compared(trials)
    keys = merit([trials[index] for index in compared])
    best = min(keys, default=None)
    of_index = dict(zip(compared, keys, strict=True))
    return [index for index in by_merit(trials) if of_index[index] == best]


def spread_front(trials: Sequence[Finished], most: int) -> list[int]:
    """Indices of the best trials, at most so many: of a larger front those far from one another.

    The front is that of all trials, and distances are between ranks in each objective. The best of
    each objective come first, then whoever is farthest from those chosen. A smaller front is
    followed by the next best.
    """
    from moocore import is_nondominated  # 0.1 s, and only long searches need it

    best = _uppermost(trials)
    values = np.array([trials[index].values for index in best])
    on_front = np.flatnonzero(is_nondominated(values, keep_weakly=False))
    if len(on_front) <= most:
        return by_merit(trials)[:most]
    ranks = values[on_front].argsort(axis=0, kind="stable").argsort(axis=0).astype(float)
    chosen = list(dict.fromkeys(ranks.argmin(axis=0).tolist()))[:most]
    nearest = np.min([((ranks - ranks[place]) ** 2).sum(axis=1) for place in chosen], axis=0)
    while len(chosen) < most:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((ranks - ranks[chosen[-1]]) ** 2).sum(axis=1))
    return [best[on_front[place]] for place in chosen]


def _uppermost(trials: Sequence[Finished]) -> list[int]:
    """Indices of trials within limits at the highest rung: of these alone merit asks who dominates
    whom."""
    first = min((trial.excess, -trial.rung) for trial in trials)
    return [i for i, trial in enumerate(trials) if (trial.excess, -trial.rung) == first]


def _compared(trials: Sequence[Finished]) -> list[int]:
    """Indices of trials that may be among the best, in their order."""
    if len(trials) <= _COMPARED or len(trials[0].values) == 1:
        return list(range(len(trials)))
    from moocore import is_nondominated  # 0.1 s, and only long searches need it

    best = _uppermost(trials)
    values = np.array([trials[index].values for index in best])
    kept = np.flatnonzero(is_nondominated(values, keep_weakly=True))[-_COMPARED:]
    latest = range(len(trials) - _COMPARED, len(trials))
    return sorted({*latest, *(best[place] for place in kept)})


def radius(trials: Sequence[Finished]) -> int:
    """Mutations at most: fewer the longer nothing got better, then many again."""
    failures = 0
    if trials:
        best = by_merit(trials)[: max(1, min(len(trials) // 8, 3))]
        if len(trials[0].values) > 1:
            best = front(trials)
        failures = len(trials) - 1 - max(best)
    return _RADII[failures // _FAILURES % len(_RADII)]


def candidates(
    problem: Problem,
    history: Sequence[Observation],
    trials: Sequence[Finished],
    rng: random.Random,
    pool_size: int,
) -> list[Draft]:
    """New feasible points, each once; mutants name their parents."""
    known = {observation.architecture for observation in history}
    found: dict[Any, Draft] = {}

    def add(point: Any, parents: tuple[int, ...] = ()) -> None:
        if point not in known and point not in found and problem.feasible(point):
            found[point] = Draft(point, parents)

    whole = _points(problem)
    if whole is not None:
        for point in whole:
            add(point)
        return list(found.values())
    best = _incumbents(trials, rng)
    steps = radius(trials)
    of_decoders = has_law(tuple(problem.space.features(best[0].point)))
    if not of_decoders:
        for trial in best:  # nothing but a step shows what a choice is worth
            near = list(problem.space.neighbours(trial.point))
            for point in rng.sample(near, min(len(near), _NEIGHBOURS)):
                add(point, (trial.number,))
    for _ in range(2 * pool_size):
        if len(found) >= _LOCAL * pool_size:
            break
        # the better, the more children
        trial = best[min(int(rng.expovariate(0.5)), len(best) - 1)]
        parents: tuple[int, ...] = (trial.number,)
        point = trial.point
        if rng.random() < 0.2:
            other = rng.choice(best)
            parents = tuple(dict.fromkeys((trial.number, other.number)))
            point = problem.space.crossover(point, other.point, rng)
        for _ in range(rng.randint(1, steps)):
            point = problem.space.mutate(point, rng)
        add(point, parents)
    count = int((1 - _LOCAL) * pool_size)
    if of_decoders:  # to draw one within limits takes as long as to compare a hundred
        for point in _everywhere(problem, len(trials) // _SHARED, count):
            add(point)
    else:
        for _ in range(count):
            add(sample_feasible(problem, rng))
    return list(found.values())


@lru_cache(maxsize=4)
def _everywhere(problem: Problem, block: int, count: int) -> tuple[Any, ...]:
    """Feasible samples that some proposals in a row share."""
    rng = random.Random(f"{problem.seed}:everywhere:{block}")
    return tuple(sample_feasible(problem, rng) for _ in range(count))


def _incumbents(trials: Sequence[Finished], rng: random.Random) -> list[Finished]:
    """The best trials; where more than enough are of the front, any of those."""
    best = front(trials)
    if len(best) > _INCUMBENTS:
        return [trials[index] for index in rng.sample(best, _INCUMBENTS)]
    return [trials[index] for index in by_merit(trials)[:_INCUMBENTS]]


def farthest(problem: Problem, known: Sequence[Any], rng: random.Random) -> Draft:
    """Of some feasible samples the one whose nearest trial is farthest, by features."""
    samples = list(dict.fromkeys(sample_feasible(problem, rng) for _ in range(_DESIGN)))
    tried = set(known)
    samples = [point for point in samples if point not in tried] or samples
    if not known:
        return Draft(samples[0], note="start: a sample")
    tables = [features(problem, point) for point in (*samples, *known[-256:])]
    names = list(tables[0])
    values = np.array([[table[name] for name in names] for table in tables])
    spread = values.std(axis=0)
    values = values[:, spread > 0] / spread[spread > 0]
    new, old = values[: len(samples)], values[len(samples) :]
    distances = ((new[:, None] - old[None]) ** 2).sum(-1).min(axis=1)
    return Draft(samples[int(np.argmax(distances))], note="start: far from the others")


def features(problem: Problem, point: Any) -> dict[str, float]:
    """The space's features; where they hold no decoder, its choices too."""
    return _features(problem, point)


@lru_cache(maxsize=50_000)
def _features(problem: Problem, point: Any) -> dict[str, float]:
    table = dict(problem.space.features(point))
    indices = getattr(problem.space, "indices", None)
    if indices is None or has_law(tuple(table)):
        return table
    own = indices(point)
    for place, size in enumerate(problem.space.choice_sizes):  # type: ignore[attr-defined]
        prefix = CHOICE_PREFIX if size <= _MANY else "level_"
        table[f"{prefix}{place}"] = float(own[place])
    # one kind of choice at several places: how often each of its options occurs
    space: Any = problem.space
    for name, (places, levels) in _repeated(space).items():
        options = [levels[place][own[place]] for place in places]
        for number, option in enumerate(dict.fromkeys(o for p in places for o in levels[p])):
            table[f"count_{name}_{number}"] = float(options.count(option))
    return table


@lru_cache(maxsize=16)
def _repeated(space: Any) -> dict[str, tuple[list[int], dict[int, tuple[Any, ...]]]]:
    """Unordered choices that the space groups: their places, and the options at each."""
    found: dict[str, tuple[list[int], dict[int, tuple[Any, ...]]]] = {}
    for place, dimension in enumerate(getattr(space, "dimensions", ())):
        if not getattr(dimension, "group", "") or dimension.kind != "categorical":
            continue
        places, levels = found.setdefault(dimension.group, ([], {}))
        places.append(place)
        levels[place] = dimension.levels
    return {
        name: parts
        for name, parts in found.items()
        if len(parts[0]) > 1 and max(map(len, parts[1].values())) <= _MANY
    }


def _points(problem: Problem) -> Iterable[Any] | None:
    """All points, where the space is small and lists them."""
    points = getattr(problem.space, "points", None)
    if points is None or problem.space.log10_size() > np.log10(_SMALL):
        return None
    return tuple(points())

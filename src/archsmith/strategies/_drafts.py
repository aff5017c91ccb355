"""What all strategies share: start points first, then drafts until one is new and feasible."""

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from archsmith.errors import InfeasibleError
from archsmith.space.feasible import sample_feasible
from archsmith.trial import Observation, Problem, Proposal, TrialState

DRAFTS = 30  # drafts that may turn out known or infeasible before plain sampling
_SAMPLES = 100  # feasible samples that may turn out known before the space counts as exhausted
_ENUMERABLE = 20_000  # spaces up to this size are walked through to find what is left
_COMPARED_AT_ONCE = 512  # trials, each with all others: 5 MB per mask at 10,000


class Draft(NamedTuple):
    """A point that may still be known or infeasible, and where it came from."""

    point: Any
    parents: tuple[int, ...] = ()
    note: str = ""


class Finished(NamedTuple):
    """A trial whose objectives are known.

    `excess` says by how much it breaks limits that only a measurement could show; 0 if none.
    """

    number: int
    point: Any
    rung: int
    values: tuple[float, ...]
    excess: float


def first_new(
    problem: Problem,
    history: Sequence[Observation],
    rng: random.Random,
    drafts: Callable[[], Iterator[Draft]],
    *,
    strategy: str,
) -> Proposal:
    """The proposal of a strategy: a start point, else the first draft that is new and feasible.

    Drafts that run out, or keep failing, are followed by feasible samples. Where the space has no
    new feasible point left, a known one is proposed again and the note says so.
    Raises InfeasibleError where there is none at all.
    """
    known = dict.fromkeys(observation.architecture for observation in history)
    for point in problem.start:
        if point not in known and problem.feasible(point):
            return Proposal(architecture=point, strategy=strategy, note="start point")
    for attempt, draft in enumerate(drafts()):
        if draft.point not in known and problem.feasible(draft.point):
            return Proposal(
                architecture=draft.point,
                strategy=strategy,
                parents=draft.parents,
                note=draft.note,
            )
        if attempt >= DRAFTS:
            break
    for _ in range(_SAMPLES):
        point = sample_feasible(problem, rng)
        if point not in known:
            return Proposal(architecture=point, strategy=strategy, note="sampled")
        if _is_small(problem):
            break
    left = _search_unknown(problem, known) if _is_small(problem) else None
    if left is not None:
        return Proposal(architecture=left, strategy=strategy, note="one of the last new points")
    again = [o.architecture for o in history if problem.feasible(o.architecture)]
    if not again:
        raise InfeasibleError("no feasible point is left to propose")
    return Proposal(
        architecture=rng.choice(again),
        strategy=strategy,
        note="every feasible point found has been proposed before",
    )


def propose_sample(
    problem: Problem, history: Sequence[Observation], rng: random.Random, *, strategy: str
) -> Proposal:
    """The proposal of a strategy that draws at random: a start point, else a feasible sample."""

    def drafts() -> Iterator[Draft]:
        while True:
            yield Draft(sample_feasible(problem, rng))

    return first_new(problem, history, rng, drafts, strategy=strategy)


def finished(problem: Problem, history: Sequence[Observation]) -> list[Finished]:
    """Trials whose objectives are all known and finite, in order; a repeated point once, its last.

    A trial on its way to a higher rung counts with what is known of it.
    """
    latest: dict[Any, Finished] = {}
    for observation in history:
        if observation.state not in (TrialState.COMPLETE, TrialState.PENDING):
            continue
        values = observation.values(problem.objectives)
        if values is None or not all(math.isfinite(value) for value in values):
            continue
        latest.pop(observation.architecture, None)
        latest[observation.architecture] = Finished(
            number=observation.number,
            point=observation.architecture,
            rung=observation.rung,
            values=values,
            excess=sum(
                limit.excess(observation.metrics[limit.metric])
                for limit in problem.limits
                if limit.metric in observation.metrics
            ),
        )
    return list(latest.values())


# within limits before outside, higher rungs before lower, then the objective or the dominators
Merit = tuple[float, float, float]


def merit(trials: Sequence[Finished]) -> list[Merit]:
    """A sort key per trial, the smallest the best.

    Within limits before outside (Deb's rule), higher rungs before lower (they were promoted), then
    the objective, or with several the number of trials of the same rung that dominate it.
    """
    return list(_rank(_read(trials)).keys)


def by_merit(trials: Sequence[Finished], *, latest: int | None = None) -> list[int]:
    """Indices of trials, the best by `merit` first; of equals the earlier.

    With several objectives every trial is compared with every other (0.01 s of 1,000 trials, 0.7 s
    of 10,000), or only the `latest` with each other; the others are then left out.
    """
    several = latest is not None and bool(trials) and len(trials[0].values) > 1
    offset = max(0, len(trials) - (latest or 0)) if several else 0
    return [offset + index for index in _rank(_read(trials[offset:])).order]


class _Ranked(NamedTuple):
    keys: tuple[Merit, ...]
    order: tuple[int, ...]


def _read(trials: Sequence[Finished]) -> tuple[tuple[tuple[float, ...], float, int], ...]:
    return tuple((trial.values, trial.excess, trial.rung) for trial in trials)


@lru_cache(maxsize=16)
def _rank(trials: tuple[tuple[tuple[float, ...], float, int], ...]) -> _Ranked:
    """The keys and the order of values, excesses and rungs.

    Kept: a proposal asks for the same trials several times, and evolution in generations for as
    many proposals as a generation has.
    """
    if not trials:
        return _Ranked((), ())
    values = np.array([own for own, _, _ in trials])  # [n, k]
    excess = np.array([own for _, own, _ in trials])
    rung = np.array([own for _, _, own in trials])
    last = values[:, 0]
    if values.shape[1] > 1:
        last = _num_dominators(values, excess, rung)
    keys = zip(excess.tolist(), (-rung).tolist(), last.tolist(), strict=True)
    order = np.lexsort((last, -rung, excess))
    return _Ranked(tuple((a, float(b), float(c)) for a, b, c in keys), tuple(order.tolist()))


def _num_dominators(values: np.ndarray, excess: np.ndarray, rung: np.ndarray) -> np.ndarray:
    """How many trials of the same rung, as near to the limits or nearer, dominate each. [n]"""
    found = np.zeros(len(values), dtype=np.int64)
    for start in range(0, len(values), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        no_worse = (rung == rung[part, None]) & (excess <= excess[part, None])
        better = np.zeros_like(no_worse)
        for column in values.T:
            no_worse &= column <= column[part, None]
            better |= column < column[part, None]
        found[part] = (no_worse & better).sum(axis=1)
    return found


def _is_small(problem: Problem) -> bool:
    return problem.space.log10_size() <= math.log10(_ENUMERABLE)


def _search_unknown(problem: Problem, known: Iterable[Any]) -> Any | None:
    """A feasible point outside `known`, the nearest to it by neighbours; None if there is none."""
    queue = deque(known)  # in the order of the history: sets differ between processes
    reached = set(queue)
    while queue:
        for point in problem.space.neighbours(queue.popleft()):
            if point in reached:
                continue
            if problem.feasible(point):
                return point
            reached.add(point)
            queue.append(point)
    return None

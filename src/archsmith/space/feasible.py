"""Points within hard limits: rejection first, then repair moves downhill on the excess.

In an equal-budget comparison unfiltered random search lost more than half of its trials to limits
that were known beforehand; here nothing leaves that a cost model can rule out. Whether a point has
experts is drawn first and kept: rejection and repair would nearly always end at a dense network,
and a search over both would see few experts.
"""

import random
from typing import Any

from archsmith.errors import InfeasibleError
from archsmith.trial import Problem, format_value

_REJECTIONS = 24  # plain samples before repair begins
_PATIENCE = 40  # failed moves before every neighbour is looked at
_RESTARTS = 12
_WALK = 8  # feasible moves after a repair, away from the border it ended at


def sample_feasible(problem: Problem, rng: random.Random) -> Any:
    """A point of the space that meets every limit a cost model covers.

    Raises InfeasibleError, with the limit that binds and the nearest point, when none is found.
    """
    best, least = None, float("inf")
    for _ in range(_REJECTIONS):
        point = problem.space.sample(rng)
        if best is not None and _has_experts(point) != _has_experts(best):
            continue
        excess = problem.excess(point)
        if excess == 0:
            return point
        if excess < least:
            best, least = point, excess
    ends = []
    for _ in range(_RESTARTS):
        ends.append(_descend(problem, best, rng))
        if problem.feasible(ends[-1]):
            return _wander(problem, ends[-1], rng)
        best = problem.space.sample(rng)
    raise _explain(problem, min(ends, key=problem.excess))


def nearest_feasible(problem: Problem, point: Any, rng: random.Random) -> Any | None:
    """A feasible point reached from `point` by moves that lower the excess; None if stuck."""
    for crossing in (False, True):
        found = _descend(problem, point, rng, crossing=crossing)
        if problem.feasible(found):
            return found
    return None


def explain_infeasible(problem: Problem, rng: random.Random) -> InfeasibleError | None:
    """Why nothing fits: the limit that binds, and what came nearest; None if something fits."""
    try:
        sample_feasible(problem, rng)
    except InfeasibleError as error:
        return error
    return None


def _explain(problem: Problem, nearest: Any) -> InfeasibleError:
    broken = problem.broken_limits(nearest)
    limit, value = max(broken, key=lambda pair: pair[0].excess(pair[1]))
    shown = nearest.summary() if hasattr(nearest, "summary") else str(nearest)
    others = [str(other) for other, _ in broken if other != limit]
    also = f" (it breaks {', '.join(others)} too)" if others else ""
    direction = "Raise" if limit.comparison == "<=" else "Lower"
    return InfeasibleError(
        f"no architecture of the space meets the limit '{limit}': the nearest found, {shown}, "
        f"has {limit.metric} = {format_value(limit.metric, value)}{also}. "
        f"{direction} that limit, loosen the others, or widen the space"
    )


def _descend(problem: Problem, point: Any, rng: random.Random, *, crossing: bool = False) -> Any:
    """The end of a walk that never raises the excess: feasible, or a local minimum.

    `crossing`: moves between dense networks and those with experts are allowed.
    """
    excess = problem.excess(point)
    failures = 0
    while excess > 0:
        if failures < _PATIENCE:
            moved = problem.space.mutate(point, rng)
            if not crossing and _has_experts(moved) != _has_experts(point):
                failures += 1
                continue
            lower = problem.excess(moved)
        else:
            steps = [
                step
                for step in problem.space.neighbours(point)
                if crossing or _has_experts(step) == _has_experts(point)
            ]
            scored = [(problem.excess(step), i, step) for i, step in enumerate(steps)]
            if not scored:
                return point
            lower, _, moved = min(scored)
            if lower >= excess:
                return point
        if lower < excess:
            point, excess, failures = moved, lower, 0
        else:
            failures += 1
    return point


def _has_experts(point: Any) -> bool:
    # points of a recorded table have no parameters that one could ask for
    return getattr(point, "num_active_params", 0) < getattr(point, "num_params", 0)


def _wander(problem: Problem, point: Any, rng: random.Random) -> Any:
    for _ in range(_WALK):
        moved = problem.space.mutate(point, rng)
        if _has_experts(moved) == _has_experts(point) and problem.feasible(moved):
            point = moved
    return point

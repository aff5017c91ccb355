"""Hand-drawn shapes that meet every limit, the measured ones included: the baselines."""

from collections.abc import Mapping

from archsmith.architecture.tree import Architecture
from archsmith.device.spread import Spread
from archsmith.device.target import Target
from archsmith.errors import InfeasibleError
from archsmith.export.latency import decode_ms_per_token
from archsmith.export.llamacpp import Timing
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, TrialState


def measure_latency(
    architecture: Architecture, *, target: Target | None = None
) -> dict[str, float]:
    """Milliseconds per token in llama.cpp with random weights, half the context filled.

    With a target those it is predicted to take, the middle of their interval.
    """
    timing = decode_ms_per_token([architecture])[0]
    return {"decode_ms_per_token": latency_of(timing, target).middle}


def latency_of(timing: Timing, target: Target | None) -> Spread:
    """Milliseconds per token on this machine as measured, or on the target as predicted."""
    here = Spread(timing.min_ms, timing.median_ms, timing.max_ms)
    return here if target is None else target.predict(here)


def fitted(
    problem: Problem,
    strategy: Strategy,
    *,
    attempts: int = 12,
    target: Target | None = None,
) -> Architecture:
    """A strategy's first proposal that meets every limit, milliseconds included.

    Raises InfeasibleError.
    """
    history: list[Observation] = []
    measured = [one for one in problem.limits if one.metric == "decode_ms_per_token"]
    for number in range(attempts):
        point = strategy.propose(problem, history, problem.rng(number)).architecture
        latency = measure_latency(point, target=target)["decode_ms_per_token"] if measured else 0.0
        if all(limit.holds(latency) for limit in measured):
            return point
        history.append(Observation(number=number, architecture=point, state=TrialState.REJECTED))
    raise InfeasibleError(
        f"{strategy.type}: the first {attempts} shapes take more milliseconds per token "
        f"{'here' if target is None else f'on {target.name}, as predicted,'} than "
        f"{measured[0]}; the last took {latency:.3g} ms"
    )


def fitted_at_each(
    problems: Mapping[int, Problem],
    strategy: Strategy,
    *,
    first: Architecture,
    target: Target | None,
) -> tuple[Architecture, ...]:
    """A strategy's shape at every vocabulary at which one meets the limits.

    Args:
        problems: the problem with one vocabulary alone, by its size.
        first: the shape it has of its own choice, which stays the first; then come the vocabularies
            nearest to that one's.
    """
    sizes = sorted(problems)
    own = sizes.index(first.vocab_size)
    shapes = [first]
    for size in sorted(sizes, key=lambda size: abs(sizes.index(size) - own)):
        if size != first.vocab_size:
            try:
                shapes.append(fitted(problems[size], strategy, target=target))
            except InfeasibleError:
                continue
    return tuple(shapes)

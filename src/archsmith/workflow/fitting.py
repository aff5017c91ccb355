"""Hand-drawn shapes that meet every limit, the measured ones included: the baselines."""

from archsmith.architecture.tree import Architecture
from archsmith.errors import InfeasibleError
from archsmith.export.latency import decode_ms_per_token
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, TrialState


def measure_latency(architecture: Architecture) -> dict[str, float]:
    """Milliseconds per token in llama.cpp with random weights, half the context filled."""
    timing = decode_ms_per_token([architecture])[0]
    return {"decode_ms_per_token": timing.median_ms}


def fitted(problem: Problem, strategy: Strategy, *, attempts: int = 12) -> Architecture:
    """A strategy's first proposal that meets every limit, milliseconds measured included.

    Raises InfeasibleError.
    """
    history: list[Observation] = []
    measured = [one for one in problem.limits if one.metric == "decode_ms_per_token"]
    for number in range(attempts):
        point = strategy.propose(problem, history, problem.rng(number)).architecture
        latency = measure_latency(point)["decode_ms_per_token"] if measured else 0.0
        if all(limit.holds(latency) for limit in measured):
            return point
        history.append(Observation(number=number, architecture=point, state=TrialState.REJECTED))
    raise InfeasibleError(
        f"{strategy.type}: the first {attempts} shapes take more milliseconds per token here than "
        f"{measured[0]}; the last took {latency:.3g} ms"
    )

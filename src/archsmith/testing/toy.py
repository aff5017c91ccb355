"""A problem whose answers are known at once: tiny architectures with a made-up loss."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, static_metrics
from archsmith.space import presets
from archsmith.strategies.base import Strategy
from archsmith.trial import Limit, Observation, Problem, TrialState

_CONTEXT = CostContext(tokenizer_bytes=lambda vocab_size: 12 * vocab_size)
_TINY = presets.tiny()


def toy_problem(
    *,
    space: Any = _TINY,
    limits: Sequence[str] = ("file_bytes <= 200KiB",),
    objectives: Sequence[str] = ("bits_per_byte",),
    start: Sequence[Any] = (),
    seed: int = 0,
) -> Problem:
    """A search over tiny architectures under a limit that about half of them break."""
    return Problem(
        space=space,
        objectives=objectives,
        limits=[Limit.parse(text) for text in limits],
        static_metrics=lambda point: static_metrics(point, _CONTEXT),
        seed=seed,
        start=start,
    )


def toy_metrics(architecture: Architecture) -> dict[str, float]:
    """All static metrics and a loss that falls with size, near one shape, bits and vocabulary."""
    metrics = static_metrics(architecture, _CONTEXT)
    aspect = math.log(architecture.width_depth_ratio / 24)
    bits = {"Q4_0": 0.08, "Q4_K_M": 0.04, "Q8_0": 0.0}[architecture.quantization]
    first = architecture.layers[0]
    metrics["bits_per_byte"] = (
        1.0
        + 30.0 * architecture.num_non_embedding_params**-0.35
        + 0.05 * aspect**2
        + bits
        + 0.1 * (architecture.vocab_size < 500)
        + 0.03 * (first.residual == "parallel")
        + 0.02 * architecture.tie_word_embeddings
    )
    metrics["decode_ms_per_token"] = metrics["flops_per_token"] * 1e-6 + len(architecture.layers)
    return metrics


def run_search(
    strategy: Strategy,
    problem: Problem,
    n_trials: int,
    *,
    history: Sequence[Observation] = (),
    metrics: Callable[[Any], Mapping[str, float]] = toy_metrics,
) -> list[Observation]:
    """Propose and observe until the history has `n_trials` trials."""
    observed = list(history)
    while len(observed) < n_trials:
        number = len(observed)
        proposal = strategy.propose(problem, tuple(observed), problem.rng(number))
        observed.append(
            Observation(
                number=number,
                architecture=proposal.architecture,
                state=TrialState.COMPLETE,
                metrics=dict(metrics(proposal.architecture)),
                strategy=proposal.strategy,
                parents=proposal.parents,
            )
        )
    return observed


class TableSpace:
    """A space that is no tree: all points of a small grid, as in a recorded table."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)

    def sample(self, rng: random.Random) -> tuple[int, ...]:
        return tuple(rng.randrange(size) for size in self.sizes)

    def mutate(self, point: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
        place = rng.choice([place for place, size in enumerate(self.sizes) if size > 1])
        other = rng.randrange(self.sizes[place] - 1)
        other += other >= point[place]
        return (*point[:place], other, *point[place + 1 :])

    def crossover(
        self, first: tuple[int, ...], second: tuple[int, ...], rng: random.Random
    ) -> tuple[int, ...]:
        return tuple(rng.choice(pair) for pair in zip(first, second, strict=True))

    def neighbours(self, point: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [
            (*point[:place], other, *point[place + 1 :])
            for place, size in enumerate(self.sizes)
            for other in range(size)
            if other != point[place]
        ]

    def contains(self, point: Any) -> bool:
        return (
            isinstance(point, tuple)
            and len(point) == len(self.sizes)
            and all(
                isinstance(value, int) and 0 <= value < size
                for value, size in zip(point, self.sizes, strict=True)
            )
        )

    def encode(self, point: tuple[int, ...]) -> np.ndarray:
        return np.array(point, dtype=np.float64)

    def features(self, point: tuple[int, ...]) -> dict[str, float]:
        return {f"choice_{place}": float(value) for place, value in enumerate(point)}

    def log10_size(self) -> float:
        return math.log10(math.prod(self.sizes))

"""The baseline to beat: as many non-embedding parameters as the limits allow, at a sane shape.

Non-embedding parameters alone rank the final loss of 22 language models of 48M to 2B parameters at
a Kendall tau of about 0.95 (McLeish et al. 2025, arXiv 2502.06857, published table). In a fit of
`ln loss = k - a ln N + c (ln(width / depth) - ln r)^2` to that table, r lies near 48 and c / a near
0.065 at every token count from 10B to 200B.
"""

import bisect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from archsmith.errors import ConfigError
from archsmith.space.branch import Branch, Indices
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies.base import Strategy
from archsmith.trial import Observation, Problem, Proposal

_POINTS = 20_000  # spaces that are not of architectures are listed up to this size
# Choices that the rule says nothing about, held at the usual value while anything fits.
USUAL: dict[str, Any] = {
    "head_dim": 64,
    "heads_per_kv_head": 1,
    "intermediate_ratio": 8 / 3,
    "tie_word_embeddings": True,
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 1.0,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}


class ParameterMaximizer(Strategy):
    """Proposes by `ln N - aspect_weight * (ln(width / depth) - ln aspect)^2`, the highest first.

    In a space of architectures, width, depth and quantization vary; what the rule says nothing
    about stays at the usual (one family, the middle vocabulary, SwiGLU ratio 8/3, tied, as many
    keys as heads) unless nothing fits so. Deterministic: `rng` is used only when all is proposed.
    """

    type: Literal["parameter_maximizer"] = "parameter_maximizer"
    aspect: PositiveFloat = 48.0
    aspect_weight: NonNegativeFloat = 0.065

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        def drafts() -> Iterator[Draft]:
            known = {observation.architecture for observation in history}
            for score, location in _ranking(problem, self.aspect, self.aspect_weight):
                point = _point(problem, location)
                if point not in known:
                    yield Draft(point, note=f"score {score:.3f}")

        return first_new(problem, history, rng, drafts, strategy=self.type)


@lru_cache(maxsize=8)
def _ranking(problem: Problem, aspect: float, aspect_weight: float) -> list[tuple[float, Any]]:
    """(score, location or point), the highest first; made once per problem."""

    def score(num_params: float, ratio: float) -> float:
        if num_params <= 0:  # outside the embedding there may be none
            return -math.inf
        return math.log(num_params) - aspect_weight * math.log(ratio / aspect) ** 2

    if isinstance(problem.space, ArchitectureSpace):
        ranked = _rank_architectures(problem, problem.space, score)
    else:
        ranked = [(score(*_size(problem, point)), point) for point in _list_points(problem)]
    return sorted(ranked, key=lambda pair: -pair[0])


def _point(problem: Problem, location: Any) -> Any:
    if isinstance(location, Location):
        assert isinstance(problem.space, ArchitectureSpace)
        return problem.space.build(location)
    return location


def _rank_architectures(
    problem: Problem, space: ArchitectureSpace, score: Callable[[float, float], float]
) -> list[tuple[float, Any]]:
    branch = space.branches[0]
    vocabularies = branch.dimensions[branch.slots["vocabulary"]].choices
    groups = branch.dimensions[branch.slots["heads_per_kv_head"]].choices
    middle = (len(vocabularies) - 1) // 2
    by_distance = sorted(range(len(vocabularies)), key=lambda index: abs(index - middle))
    for group, index in product(sorted(groups), by_distance):
        wanted = {**USUAL, "heads_per_kv_head": group, "vocabulary": vocabularies[index]}
        ranked = []
        for line in _lines(branch, wanted):
            ranked += _rank_line(problem, space, branch, line, score)
        if ranked:
            return ranked
    return []


def _lines(branch: Branch, wanted: Mapping[str, Any]) -> Iterator[Indices]:
    """One point, at the smallest depth, for every width and quantization."""
    depth, quantization = branch.slots["num_hidden_layers"], branch.slots["quantization"]
    start = [
        dimension.nearest(wanted[dimension.name]) if dimension.name in wanted else 0
        for dimension in branch.dimensions
    ]
    start[depth] = 0
    for width in branch.widths:
        start[branch.slots["hidden_size"]] = width
        for index in range(len(branch.dimensions[quantization].choices)):
            start[quantization] = index
            settled = branch.settle(tuple(start))
            if settled is not None and settled[quantization] == index:
                yield settled


def _rank_line(
    problem: Problem,
    space: ArchitectureSpace,
    branch: Branch,
    line: Indices,
    score: Callable[[float, float], float],
) -> list[tuple[float, Any]]:
    """Every depth of a line that is not too much; upper limits only tighten with depth."""
    slot = branch.slots["num_hidden_layers"]
    depths = branch.dimensions[slot].choices
    number = space.branches.index(branch)

    def at(index: int) -> Location:
        return Location(number, (*line[:slot], index, *line[slot + 1 :]))

    def too_much(index: int) -> bool:
        broken = problem.broken_limits(space.build(at(index)))
        return any(limit.comparison == "<=" for limit, _ in broken)

    allowed = branch.depths(line)
    end = bisect.bisect_left(allowed, x=True, key=too_much)
    if end == 0 or not problem.feasible(space.build(at(allowed[end - 1]))):
        return []
    smallest = space.build(at(allowed[0]))
    width = smallest.hidden_size
    layer = smallest.layers[0].num_params(width)
    rest = smallest.num_non_embedding_params - depths[allowed[0]] * layer
    return [
        (score(rest + depths[index] * layer, width / depths[index]), at(index))
        for index in allowed[:end]
    ]


def _list_points(problem: Problem) -> list[Any]:
    """All points of a small space, by neighbours."""
    if problem.space.log10_size() > math.log10(_POINTS):
        raise ConfigError(
            "parameter_maximizer ranks spaces of architectures, or others of at most "
            f"{_POINTS} points; this one has 10^{problem.space.log10_size():.1f}"
        )
    reached = dict.fromkeys([problem.space.sample(random.Random(0))])
    front = list(reached)
    while front:
        for point in problem.space.neighbours(front.pop()):
            if point not in reached:
                reached[point] = None
                front.append(point)
    return [point for point in reached if problem.feasible(point)]


def _size(problem: Problem, point: Any) -> tuple[float, float]:
    """Parameters, and width / depth where the space tells it (else the optimum)."""
    metrics, features = problem.static_metrics(point), problem.space.features(point)
    for name in ("num_non_embedding_params", "num_params"):
        if name in metrics:
            ratio = math.exp(features.get("log_width_depth_ratio", math.log(48.0)))
            return metrics[name], ratio
    raise ConfigError("parameter_maximizer needs the metric 'num_params' of every point")


PART = ParameterMaximizer

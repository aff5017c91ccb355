"""The largest that fit, by parameters outside embedding and head, and nothing else.

On a recorded grid of 97 decoder language models over depth, width and heads (Porian et al. 2024,
arXiv 2406.19146), training the five largest below a cap finds the best model below it at 91 of the
97 caps that the models' own sizes make, and misses it by at most 0.0070 nats at the other six.
"""

import bisect
import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, count, product
from typing import Any, Literal, NamedTuple

from archsmith.export.quantization import FILE_TYPES, GGML_TYPES
from archsmith.space.branch import Branch, Indices
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.strategies._drafts import Draft, first_new
from archsmith.strategies.base import Strategy
from archsmith.strategies.parameter_maximizer import USUAL, ParameterMaximizer
from archsmith.trial import Observation, Problem, Proposal

# limits that grow with the parameters alone, once the quantization is given
_OF_PARAMS = ("file_bytes", "num_params", "num_non_embedding_params")


class LargestFive(Strategy):
    """Proposes feasible points by falling number of non-embedding parameters, whatever the shape.

    In a space of architectures everything that changes this number varies: family, width, depth,
    heads, feed-forward ratio, experts. What does not change it (vocabulary, quantization, tying,
    rotary base, head sizes and families that come to the same) stays as usual where that fits: the
    first family, the middle vocabulary, tied, the most precise quantization; else it becomes what
    fits, so that the five are the largest of all, and five different shapes.

    It is meant for five trials; asked for more it goes on down the ranking. Upper limits are taken
    to tighten with depth. Raises ConfigError where neither `num_non_embedding_params` nor
    `num_params` is known of every point.
    """

    type: Literal["largest_five"] = "largest_five"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        if not isinstance(problem.space, ArchitectureSpace):
            # the maximizer's ranking without its term for the shape
            proposal = ParameterMaximizer(aspect_weight=0.0).propose(problem, history, rng)
            return proposal.model_copy(update={"strategy": self.type})

        def drafts() -> Iterator[Draft]:
            known = {observation.architecture for observation in history}
            ranking = _ranking(problem)
            for place in count():
                point = ranking.at(place)
                if point is None:
                    return
                if point not in known:
                    yield Draft(point, note=f"{point.num_non_embedding_params} parameters")

        return first_new(problem, history, rng, drafts, strategy=self.type)


@lru_cache(maxsize=8)
def _ranking(problem: Problem) -> "_Ranking":
    return _Ranking(problem)


class _Ranking:
    """Feasible points, the largest first, found as far as they are asked for."""

    def __init__(self, problem: Problem) -> None:
        self._found: list[Any] = []
        self._more = _largest_first(problem)

    def at(self, place: int) -> Any | None:
        """The point at a place from 0; None behind the last."""
        while len(self._found) <= place:
            point = next(self._more, None)
            if point is None:
                return None
            self._found.append(point)
        return self._found[place]


class _Line(NamedTuple):
    """Networks of one width whose layers have equally many parameters, at every depth."""

    branch: int
    members: tuple[Indices, ...]  # the usual first; depth, vocabulary and quantization are open
    layer: int
    rest: int  # parameters outside layers and embedding


def _largest_first(problem: Problem) -> Iterator[Any]:
    space = problem.space
    assert isinstance(space, ArchitectureSpace)
    heap: list[tuple[int, int, int, _Line]] = []  # (-size, tie, depth or ~depth if a bound, line)
    ties = count()
    seen = set[tuple[int, int, int]]()

    def push(line: _Line, depth: int, *, is_bound: bool) -> None:
        depths = space.branches[line.branch].choices("num_hidden_layers")
        size = line.rest + depths[depth] * line.layer
        heapq.heappush(heap, (-size, next(ties), ~depth if is_bound else depth, line))

    for number in range(len(space.branches)):
        for line in _lines(space, number):
            end = _end(problem, space, line)
            if end > 0:
                push(line, end - 1, is_bound=True)
    while heap:
        _, _, depth, line = heapq.heappop(heap)
        least = space.branches[line.branch].depths(line.members[0])[0]
        if depth < 0:  # how deep it may be, not yet looked at
            depth = ~depth
            if _too_much(problem, space, line, depth):
                shallower = range(least, depth)
                end = bisect.bisect_left(
                    shallower, x=True, key=lambda index: _too_much(problem, space, line, index)
                )
                if end > 0:
                    push(line, shallower[end - 1], is_bound=False)
                continue
        point = _fitting(problem, space, line, depth)
        if point is not None:
            size = point.num_non_embedding_params
            shape = (size, point.hidden_size, point.num_hidden_layers)
            if shape not in seen:  # families may differ in nothing that is counted
                seen.add(shape)
                yield point
        if depth > least:
            push(line, depth - 1, is_bound=False)


def _lines(space: ArchitectureSpace, number: int) -> Iterator[_Line]:
    """All lines of a family."""
    branch = space.branches[number]
    ratio = branch.slots["intermediate_ratio"]
    usual = {
        branch.slots[name]: branch.dimensions[branch.slots[name]].nearest(value)
        for name, value in USUAL.items()
        if name in branch.slots
    }

    def unusual(indices: Indices) -> int:
        return sum(abs(indices[slot] - index) for slot, index in usual.items())

    def is_tied(indices: Indices) -> bool:
        return bool(branch.values(indices).get("tie_word_embeddings", True))

    for width in branch.widths:
        members: dict[int, list[Indices]] = {}
        for joint in branch.kinds.joints(width):
            start = list(branch.smallest(width, joint))
            if "rope_theta" in branch.slots:
                start[branch.slots["rope_theta"]] = usual[branch.slots["rope_theta"]]
            for index in branch.ratios_of(start):
                start[ratio] = index
                indices = tuple(start)
                if len(branch.depths(indices)):
                    members.setdefault(branch.parameters.layer(indices), []).append(indices)
        rest = None
        for layer, alike in members.items():
            if rest is None:
                smallest = space.build(Location(number, _at(branch, alike[0])))
                rest = smallest.num_non_embedding_params - smallest.num_hidden_layers * layer
            # a head of its own only takes room
            kept = [indices for indices in alike if is_tied(indices)] or alike
            yield _Line(number, tuple(sorted(kept, key=unusual)), layer, rest)


def _at(branch: Branch, indices: Indices, **changes: int) -> Indices:
    """A member with other choices; at its least depth if none is given."""
    changed = list(indices)
    changed[branch.slots["num_hidden_layers"]] = branch.depths(indices)[0]
    for name, index in changes.items():
        changed[branch.slots[name]] = index
    return tuple(changed)


def _end(problem: Problem, space: ArchitectureSpace, line: _Line) -> int:
    """One more than the greatest depth that the limits on parameters and bytes leave open.

    Bytes are at least what the lightest quantization takes for every parameter.
    """
    branch, indices = space.branches[line.branch], line.members[0]
    lightest = branch.choices("quantization")[indices[branch.slots["quantization"]]]
    block = GGML_TYPES[FILE_TYPES[lightest][0]]
    allowed = branch.depths(indices)
    depths = branch.choices("num_hidden_layers")
    end = allowed.stop
    for limit in problem.limits:
        if limit.comparison != "<=":
            continue
        around, most = branch.parameters.shell(indices), limit.value
        if limit.metric in ("file_bytes", "peak_memory_bytes"):
            most *= block.block_size / block.block_bytes
        elif limit.metric == "num_non_embedding_params":
            around = line.rest
        elif limit.metric != "num_params":
            continue
        end = min(end, bisect.bisect_right(depths, (most - around) / line.layer))
    return end if end > allowed.start else 0


def _variants(
    branch: Branch, line: _Line, depth: int, quantizations: Iterable[int]
) -> Iterator[Indices]:
    """The networks of a line at a depth, the usual first."""
    vocabularies = range(len(branch.choices("vocabulary")))
    middle = (len(vocabularies) - 1) // 2
    for vocabulary, quantization, indices in product(
        sorted(vocabularies, key=lambda index: abs(index - middle)), quantizations, line.members
    ):
        found = _at(
            branch,
            indices,
            num_hidden_layers=depth,
            vocabulary=vocabulary,
            quantization=quantization,
        )
        if branch.valid(found):
            yield found


def _quantizations(branch: Branch, line: _Line) -> tuple[int, ...]:
    """Those of a line's width, the lightest first."""
    return branch.kinds.quantizations(line.members[0][branch.slots["hidden_size"]])


def _too_much(problem: Problem, space: ArchitectureSpace, line: _Line, depth: int) -> bool:
    """Whether every network of a line breaks an upper limit at this depth."""
    branch = space.branches[line.branch]
    lightest = _at(branch, line.members[0], num_hidden_layers=depth)
    others = _variants(branch, line, depth, _quantizations(branch, line)[:1])
    for indices in chain((lightest,), others):
        broken = problem.broken_limits(space.build(Location(line.branch, indices)))
        upper = [limit.metric for limit, _ in broken if limit.comparison == "<="]
        if not upper:
            return False
        if indices is lightest and any(metric in _OF_PARAMS for metric in upper):
            return True  # the others have as many parameters or more, and no fewer bits
    return True


def _fitting(problem: Problem, space: ArchitectureSpace, line: _Line, depth: int) -> Any | None:
    """The most usual network of a line that meets the limits at this depth."""
    branch = space.branches[line.branch]
    most_precise_first = tuple(reversed(_quantizations(branch, line)))
    for indices in _variants(branch, line, depth, most_precise_first):
        point = space.build(Location(line.branch, indices))
        if problem.feasible(point):
            return point
    return None


PART = LargestFive

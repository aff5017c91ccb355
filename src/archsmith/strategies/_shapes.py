"""Hand-drawn shapes as a strategy: the widest that fits, per vocabulary and quantization."""

import bisect
import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.errors import ConfigError
from archsmith.space.dimensions import Vocabulary
from archsmith.space.space import ArchitectureSpace, Location
from archsmith.strategies._drafts import Draft, by_merit, finished, first_new
from archsmith.trial import Observation, Problem, Proposal

_COMPARED = 1000  # trials among which those of several objectives are looked for

# scaled_llama or scaled_phi3 of archsmith.presets
Scaled = Callable[..., Architecture]


def propose_shape(
    problem: Problem,
    history: Sequence[Observation],
    rng: random.Random,
    *,
    scaled: Scaled,
    strategy: str,
) -> Proposal:
    """The widest shapes that fit, then neighbours of the best trial so far.

    First the middle vocabulary in every quantization, the most parameters first, then the other
    vocabularies. Raises ConfigError in a space that is not of architectures.
    """
    if not isinstance(problem.space, ArchitectureSpace):
        raise ConfigError(f"strategy '{strategy}' needs a space of architectures")

    def drafts() -> Iterator[Draft]:
        known = {observation.architecture for observation in history}
        for point in widest_shapes(problem, scaled):
            if point not in known:
                yield Draft(point, note="shape drawn by hand")
        trials = finished(problem, history)
        for index in by_merit(trials, latest=_COMPARED)[:3]:
            neighbours = [
                p for p in problem.space.neighbours(trials[index].point) if p not in known
            ]
            rng.shuffle(neighbours)
            for point in neighbours:
                yield Draft(point, (trials[index].number,), "neighbour of a good shape")

    return first_new(problem, history, rng, drafts, strategy=strategy)


@lru_cache(maxsize=8)
def widest_shapes(problem: Problem, scaled: Scaled) -> tuple[Architecture, ...]:
    """Feasible shapes in the order in which they are proposed; made once per problem."""
    space = problem.space
    assert isinstance(space, ArchitectureSpace)
    branch = space.branches[0]
    choices = {name: branch.dimensions[slot].choices for name, slot in branch.slots.items()}
    vocabularies = choices["vocabulary"]
    middle = (len(vocabularies) - 1) // 2
    found: dict[Architecture, None] = {}
    for index in sorted(range(len(vocabularies)), key=lambda index: abs(index - middle)):
        shapes = [
            _widest(problem, space, scaled, vocabularies[index], quantization)
            for quantization in choices["quantization"]
        ]
        largest_first = sorted(
            (shape for shape in shapes if shape is not None),
            key=lambda shape: -shape.num_non_embedding_params,
        )
        found.update(dict.fromkeys(largest_first))
    return tuple(found)


def _widest(
    problem: Problem,
    space: ArchitectureSpace,
    scaled: Scaled,
    vocabulary: Vocabulary,
    quantization: str,
) -> Architecture | None:
    """The widest feasible shape; a wider one never takes less of what is limited from above."""
    branch = space.branches[0]
    widths = branch.dimensions[branch.slots["hidden_size"]].choices
    members = []
    for index in branch.widths:
        drawn = scaled(
            widths[index],
            vocab_size=vocabulary.vocab_size,
            context_tokens=vocabulary.context_tokens,
            quantization=quantization,
        )
        member = _member(space, drawn)
        if (
            member is not None
            and member.hidden_size == drawn.hidden_size
            and member.quantization == quantization
        ):
            members.append(member)

    def too_much(member: Architecture) -> bool:
        return any(limit.comparison == "<=" for limit, _ in problem.broken_limits(member))

    end = bisect.bisect_left(members, x=True, key=too_much)
    return members[end - 1] if end > 0 and problem.feasible(members[end - 1]) else None


def _member(space: ArchitectureSpace, drawn: Architecture) -> Architecture | None:
    """The member nearest to a drawn shape, of its own family or of the first of the space."""
    near = space.nearest(drawn)
    if near is not None:
        return near
    values = registry.find("families", "llama").values(drawn)
    indices = None if values is None else space.branches[0].nearest(values)
    return None if indices is None else space.build(Location(0, indices))

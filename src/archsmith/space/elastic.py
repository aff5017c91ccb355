"""The networks of a space as parts of one: which of them can share weights, and in what choices.

One supernet holds one vocabulary and one kind of layer; its parts differ in depth, width,
feed-forward ratio and the grouping of key-value heads.
"""

from collections.abc import Callable

from archsmith.architecture.elastic import (
    Elastic,
    ElasticDimension,
    cover,
    shrink,
    sizes_of,
    why_not_elastic,
)
from archsmith.architecture.tree import Architecture
from archsmith.errors import ConfigError, InfeasibleError
from archsmith.space.space import ArchitectureSpace

SHARED = ("num_hidden_layers", "hidden_size", "intermediate_ratio", "heads_per_kv_head")
MAY_VARY = (*SHARED, "quantization")  # the last is the file's, and changes no weight
_MOST_MEMBERS = 20_000


def elastic(
    space: ArchitectureSpace,
    *,
    feasible: Callable[[Architecture], bool] = lambda architecture: True,
) -> Elastic:
    """All feasible networks of a space as parts of the smallest network that holds them.

    Where the space offers several quantizations, a network is feasible if one of them is.

    Raises:
        ConfigError: its networks cannot share one set of weights, with the reason.
        InfeasibleError: none of them is feasible.
    """
    if len(space.branches) > 1:
        names = ", ".join(branch.family.name for branch in space.branches)
        raise ConfigError(
            f"a supernet holds one family of networks, the space has {names}; "
            'name one, as in families = ["llama"]'
        )
    (branch,) = space.branches
    varied = [d.name for d in branch.dimensions if len(d.choices) > 1]
    for name in varied:
        if name not in MAY_VARY:
            raise ConfigError(
                f"networks that differ in {name} cannot share weights; leave one choice of it"
            )
    dimensions = [branch.dimensions[branch.slots[name]] for name in SHARED if name in varied]
    found: dict[tuple[int, ...], Architecture] = {}
    for number, indices in enumerate(branch.points()):
        if number >= _MOST_MEMBERS:
            raise ConfigError(
                f"a supernet has at most {_MOST_MEMBERS:,} parts, the space more; "
                "leave fewer choices of depth, width, ratio or heads"
            )
        options = tuple(indices[branch.slots[dimension.name]] for dimension in dimensions)
        if options not in found and feasible(architecture := branch.build(indices)):
            found[options] = architecture
    if not found:
        raise InfeasibleError("no network of the supernet's space meets the limits")
    # patterns of layers show in deep networks
    deepest = max(found.values(), key=lambda architecture: architecture.num_hidden_layers)
    reason = why_not_elastic(deepest)
    if reason is not None:
        raise ConfigError(f"{deepest.summary()} can share no weights: {reason}")
    members = sorted(found)
    sizes = tuple(sizes_of(found[options]) for options in members)
    return Elastic(
        largest=shrink(deepest, cover(sizes)),
        dimensions=tuple(
            ElasticDimension(d.name, tuple(option_name(choice) for choice in d.choices))
            for d in dimensions
        ),
        members=tuple(members),
        sizes=sizes,
    )


def option_name(choice: object) -> str:
    """A choice as it is written in results; different choices, different names."""
    return repr(choice)

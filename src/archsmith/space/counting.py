"""How many points a branch has at one width, exactly and without visiting them all.

Choices that cannot change the parameters are counted, depths within the parameters allowed are
found by bisection, and layers of equal size are looked at once.
"""

import bisect
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archsmith.space.branch import Branch


def count_points(branch: "Branch", width: int) -> int:
    """Valid points at the width of this index."""
    if branch.max_params is None:
        return _count_all(branch, width)
    depths = branch.choices("num_hidden_layers")
    vocabularies = range(len(branch.choices("vocabulary")))
    slot, parameters = branch.slots["vocabulary"], branch.parameters
    alike: Counter[tuple[int, int, int]] = Counter()  # layer's parameters, tied, least depth
    rest: dict[int, list[int]] = {}  # parameters left for layers, by vocabulary
    for joint, weight in branch.kinds.countable(width):
        smallest = branch.smallest(width, joint)
        least, tied = smallest[branch.slots["num_hidden_layers"]], parameters.tied(smallest)
        if tied not in rest:
            rest[tied] = [
                branch.max_params
                - parameters.shell((*smallest[:slot], index, *smallest[slot + 1 :]))
                for index in vocabularies
            ]
        around = parameters.around_block(smallest)
        for ratio in branch.ratios_of(smallest):
            alike[around + parameters.block(smallest, ratio), tied, least] += weight
    total = 0
    for (layer, tied, least), weight in alike.items():
        ends = (bisect.bisect_right(depths, left // layer) for left in rest[tied])
        total += weight * sum(end - least for end in ends if end > least)
    return total


def _count_all(branch: "Branch", width: int) -> int:
    num_depths = len(branch.choices("num_hidden_layers"))
    total = 0
    for joint, weight in branch.kinds.countable(width):
        smallest = branch.smallest(width, joint)
        deep = max(0, num_depths - smallest[branch.slots["num_hidden_layers"]])
        total += weight * deep * len(branch.ratios_of(smallest))
    return total * len(branch.choices("vocabulary"))

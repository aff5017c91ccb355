"""Parameters of a branch's points, from sums that are kept: a layer's parts, and what surrounds it.

The mixer with its norms depends on the width and the heads, the feed-forward block on its width and
experts, the rest on the vocabulary; so few of them are ever built, and every point is a sum.
"""

from collections.abc import Sequence

from archsmith.space.dimensions import Dimension, chosen
from archsmith.space.families.base import Family
from archsmith.space.kinds import Kinds

Key = tuple[int, ...]


class Parameters:
    """Counts for points of one branch, given as indices into its dimensions."""

    def __init__(self, family: Family, dimensions: Sequence[Dimension], kinds: Kinds) -> None:
        self._family, self._dimensions, self._kinds = family, dimensions, kinds
        slots = {dimension.name: slot for slot, dimension in enumerate(dimensions)}
        self._width, self._depth = slots["hidden_size"], slots["num_hidden_layers"]
        self._ratio, self._vocabulary = slots["intermediate_ratio"], slots["vocabulary"]
        self._tied = slots.get("tie_word_embeddings")
        self._around: dict[Key, int] = {}
        self._blocks: dict[Key, int] = {}
        self._shells: dict[Key, int] = {}

    def total(self, indices: Sequence[int]) -> int:
        """All parameters."""
        depth: int = self._dimensions[self._depth].choices[indices[self._depth]]
        return self.shell(indices) + depth * self.layer(indices)

    def layer(self, indices: Sequence[int]) -> int:
        """Those of a layer; all layers have equally many."""
        return self.around_block(indices) + self.block(indices, indices[self._ratio])

    def around_block(self, indices: Sequence[int]) -> int:
        """Those of a layer's mixer and norms."""
        key = (indices[self._width], *(indices[slot] for slot in self._kinds.mixer_slots))
        if key not in self._around:
            values = chosen(self._dimensions, indices)
            layer, hidden_size = self._family.layer(values), values["hidden_size"]
            block = layer.feed_forward.num_params(hidden_size)
            self._around[key] = layer.num_params(hidden_size) - block
        return self._around[key]

    def block(self, indices: Sequence[int], ratio: int) -> int:
        """Those of its feed-forward block, at another ratio."""
        key = (ratio, indices[self._width], *(indices[slot] for slot in self._kinds.block_slots))
        if key not in self._blocks:
            ratios = self._dimensions[self._ratio].choices
            values = chosen(self._dimensions, indices) | {"intermediate_ratio": ratios[ratio]}
            block = self._family.feed_forward(values)
            self._blocks[key] = block.num_params(values["hidden_size"])
        return self._blocks[key]

    def shell(self, indices: Sequence[int]) -> int:
        """Those outside the layers."""
        key = (indices[self._width], indices[self._vocabulary], self.tied(indices))
        if key not in self._shells:
            values = chosen(self._dimensions, indices) | {"num_hidden_layers": 1}
            architecture = self._family.build(values)
            layer = architecture.layers[0].num_params(architecture.hidden_size)
            self._shells[key] = architecture.num_params - layer
        return self._shells[key]

    def tied(self, indices: Sequence[int]) -> int:
        """The index of the choice whether embedding and head are one; 0 where there is none."""
        return 0 if self._tied is None else indices[self._tied]

"""Which kinds of networks a branch offers: the choices that are not sizes, and which go together.

A kind is one choice in each of these dimensions. Most of them depend on each other and on the
width (heads divide it, experts are more than are used); the rotary base and the quantization go
with everything, but for K-quants at widths their blocks do not divide. So the kinds of a width are
a product, and what is asked of a family and of a carrier is asked without those two.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from archsmith.space.dimensions import Dimension
from archsmith.space.families.base import Family, blocks_per_token

Kind = tuple[int, ...]  # indices of choices

_FREE = ("rope_theta",)
_QUANTIZATION = "quantization"
_MIXER = ("head_dim", "heads_per_kv_head")  # change the parameters of the mixer alone
_SHELL = ("tie_word_embeddings",)  # changes the parameters of no layer


class Kinds:
    """The kinds of one branch, found once per width.

    Args:
        slots: places of the dimensions that are not sizes.
        refused: combinations of choices, by dimension, that are left out.
        k_quant_fallback: K-quants at every width.
    """

    def __init__(
        self,
        family: Family,
        dimensions: Sequence[Dimension],
        slots: tuple[int, ...],
        *,
        refused: Sequence[Mapping[str, Any]],
        k_quant_fallback: bool,
    ) -> None:
        self.family = family
        self.slots = slots
        self._dimensions = dimensions
        self._widths = next(d for d in dimensions if d.name == "hidden_size").choices
        self._refused, self._refused_joints = [], set[tuple[Any, ...]]()
        self._k_quant_fallback = k_quant_fallback
        names = {slot: dimensions[slot].name for slot in slots}
        self.joint_slots = tuple(s for s, n in names.items() if n not in (*_FREE, _QUANTIZATION))
        joint_names = [names[slot] for slot in self.joint_slots]
        for choices in refused:
            if set(choices) == set(joint_names):
                self._refused_joints.add(tuple(choices[name] for name in joint_names))
            else:
                self._refused.append(choices.items())
        self._places = {slot: place for place, slot in enumerate(self.joint_slots)}
        self._quantization = next(slot for slot, name in names.items() if name == _QUANTIZATION)
        counted = tuple(slot for slot, name in names.items() if name not in family.cosmetic)
        self.mixer_slots = tuple(slot for slot in counted if names[slot] in _MIXER)
        self.block_slots = tuple(
            slot for slot in counted if names[slot] not in (*_MIXER, *_SHELL, *_FREE)
        )
        self._counted = [place for place, slot in enumerate(self.joint_slots) if slot in counted]
        self._num_free = 1
        for slot, name in names.items():
            if name in _FREE:
                self._num_free *= len(dimensions[slot].choices)
        self._per_token_slots = tuple(
            slot for slot in self.joint_slots if blocks_per_token({names[slot]: 2}) == 2
        )
        self._joints: dict[int, tuple[Kind, ...]] = {}
        self._joint_sets: dict[int, frozenset[Kind]] = {}
        self._nearest: dict[tuple[int, Kind], Kind] = {}

    def joint(self, indices: Sequence[int]) -> Kind:
        """The part of a point's kind that has to go together."""
        return tuple(indices[slot] for slot in self.joint_slots)

    def joints(self, width: int) -> tuple[Kind, ...]:
        """All such parts that go with a width."""
        if width not in self._joints:
            self._joints[width] = tuple(self._find(width))
        return self._joints[width]

    def choices(self, joint: Kind) -> dict[str, Any]:
        """The choices of such a part by name."""
        return {
            self._dimensions[slot].name: self._dimensions[slot].choices[index]
            for slot, index in zip(self.joint_slots, joint, strict=True)
        }

    def quantizations(self, width: int) -> tuple[int, ...]:
        """The quantizations that go with a width."""
        names = self._dimensions[self._quantization].choices
        plain = self._k_quant_fallback or self._widths[width] % 256 == 0
        return tuple(index for index, name in enumerate(names) if plain or "_K" not in name)

    def has(self, width: int, indices: Sequence[int]) -> bool:
        """Whether the kind of a point goes with a width."""
        known = self.joint(indices) in self._joint_set(width)
        return known and indices[self._quantization] in self.quantizations(width)

    def count(self, width: int) -> int:
        """How many kinds go with a width."""
        return len(self.joints(width)) * len(self.quantizations(width)) * self._num_free

    def at(self, width: int, number: int) -> Kind:
        """The kind of that number among those of a width, in the order of their indices."""
        matching: Sequence[Kind] = self.joints(width)
        rest = len(self.quantizations(width)) * self._num_free
        kind = []
        for slot in self.slots:
            if slot in self._places:
                place = self._places[slot]
                for index in range(len(self._dimensions[slot].choices)):
                    found = [joint for joint in matching if joint[place] == index]
                    if number < len(found) * rest:
                        break
                    number -= len(found) * rest
                matching = found
            else:
                is_quantization = slot == self._quantization
                every = range(len(self._dimensions[slot].choices))
                options = self.quantizations(width) if is_quantization else every
                rest //= len(options)
                place, number = divmod(number, len(matching) * rest)
                index = options[place]
            kind.append(index)
        return tuple(kind)

    def nearest(self, width: int, indices: Sequence[int]) -> Kind | None:
        """The kind of a width that is nearest to a point's; None where the width has none."""
        quantizations = self.quantizations(width)
        if not self.joints(width) or not quantizations:
            return None
        wanted = self.joint(indices)
        if (width, wanted) not in self._nearest:
            self._nearest[width, wanted] = (
                wanted
                if wanted in self._joint_set(width)
                else min(self.joints(width), key=lambda other: _distance(wanted, other))
            )
        found = dict(zip(self.joint_slots, self._nearest[width, wanted], strict=True))
        found[self._quantization] = min(
            quantizations, key=lambda other: abs(other - indices[self._quantization])
        )
        return tuple(found.get(slot, indices[slot]) for slot in self.slots)

    def countable(self, width: int) -> Iterator[tuple[Kind, int]]:
        """Choices that go together, once per number of parameters, and how many kinds have it."""
        quantizations = self.quantizations(width)
        if not quantizations:
            return
        first: dict[Kind, Kind] = {}
        sizes: Counter[Kind] = Counter()
        for joint in self.joints(width):
            key = tuple(joint[place] for place in self._counted)
            first.setdefault(key, joint)
            sizes[key] += 1
        weight = len(quantizations) * self._num_free
        for key, joint in first.items():
            yield joint, sizes[key] * weight

    def blocks(self, indices: Sequence[int]) -> int:
        """Feed-forward blocks that one token of a point goes through."""
        chosen = (self._dimensions[slot].choices[indices[slot]] for slot in self._per_token_slots)
        return sum(chosen) or 1

    def block_numbers(self, width: int) -> frozenset[int]:
        """All such numbers among the kinds of a width."""
        if not self._per_token_slots:
            return frozenset((1,))
        names = [self._dimensions[slot].name for slot in self._per_token_slots]
        kinds = (self.choices(joint) for joint in self.joints(width))
        return frozenset(sum(kind[name] for name in names) for kind in kinds)

    def explain(self) -> str:
        """Why no kind goes with any width, as the first that was asked about."""
        for width in range(len(self._widths)):
            if not self.quantizations(width):
                continue
            for joint in self._every():
                reason = self.family.explain(self._asked(width, joint))
                if reason is not None:
                    return reason
        return "K-quants need widths that are multiples of 256"

    def _joint_set(self, width: int) -> frozenset[Kind]:
        if width not in self._joint_sets:
            self._joint_sets[width] = frozenset(self.joints(width))
        return self._joint_sets[width]

    def _every(self) -> Iterator[Kind]:
        return product(*(range(len(self._dimensions[slot].choices)) for slot in self.joint_slots))

    def _asked(self, width: int, joint: Kind) -> dict[str, Any]:
        return {"hidden_size": self._widths[width], **self.choices(joint)}

    def _find(self, width: int) -> Iterator[Kind]:
        for joint in self._every():
            values = self._asked(width, joint)
            if self.family.explain(values) is not None:
                continue
            if self._refused_joints and tuple(values.values())[1:] in self._refused_joints:
                continue
            if any(refused <= values.items() for refused in self._refused):
                continue
            yield joint


def _distance(one: Kind, other: Kind) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))

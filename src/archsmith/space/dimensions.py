"""What can vary: a dimension is a name and an ordered tuple of choices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple


class Vocabulary(NamedTuple):
    """A vocabulary size with its context in tokens.

    They vary together: a larger vocabulary sees more text per token, and every architecture of a
    search reads contexts of equal bytes.
    """

    vocab_size: int
    context_tokens: int


@dataclass(frozen=True)
class Dimension:
    """A name and its choices in a meaningful order, so that adjacent choices are similar."""

    name: str
    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        assert self.choices, f"{self.name} needs at least one choice"
        assert len(set(self.choices)) == len(self.choices), f"{self.name}: a choice stands twice"

    @cached_property
    def positions(self) -> tuple[float, ...]:
        """Each choice as a number in [0, 1]: by logarithm where choices are numbers, else in order.

        Different choices have different positions.
        """
        numbers = [_number(choice) for choice in self.choices]
        known = [number for number in numbers if number is not None and number > 0]
        if len(known) == len(numbers) == len(set(known)) > 1:
            low, high = math.log(min(known)), math.log(max(known))
            return tuple((math.log(number) - low) / (high - low) for number in known)
        steps = max(len(self.choices) - 1, 1)
        return tuple(index / steps for index in range(len(self.choices)))

    def nearest(self, value: Any) -> int:
        """Index of the choice nearest to `value`: by ratio for numbers, else the equal one or 0."""
        if value in self.choices:
            return self.choices.index(value)
        number = _number(value)
        if number is None or number <= 0:
            return 0
        distances = [
            abs(math.log(other / number)) if (other := _number(choice)) else math.inf
            for choice in self.choices
        ]
        return distances.index(min(distances))


def chosen(dimensions: Sequence[Dimension], indices: Sequence[int]) -> dict[str, Any]:
    """The choices at these indices, by name."""
    return {
        dimension.name: dimension.choices[index]
        for dimension, index in zip(dimensions, indices, strict=True)
    }


def equal_context(
    bytes_per_token: Mapping[int, float], *, context_bytes: int
) -> tuple[Vocabulary, ...]:
    """Vocabularies whose contexts cover about `context_bytes` of text each.

    `bytes_per_token` maps vocabulary sizes to mean bytes of text per token. Contexts are whole
    multiples of 16 tokens, rounded up.
    """
    return tuple(
        Vocabulary(size, 16 * math.ceil(context_bytes / bytes_per_token[size] / 16))
        for size in sorted(bytes_per_token)
    )


def _number(value: Any) -> float | None:
    if isinstance(value, Vocabulary):
        return float(value.vocab_size)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)

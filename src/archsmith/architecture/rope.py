"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), full or on a part of each head."""

import math
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from archsmith.config import Spec


class LongRope(Spec):
    """Rescaled frequencies for long contexts (Ding et al. 2024, arXiv 2402.13753).

    A text of at most `original_max_position_embeddings` tokens turns feature pair i at
    1 / (short_factor[i] * theta^(2i/R)), a longer one by `long_factor`, all positions of it alike.
    Cosines and sines are multiplied by an attention factor: the given one of that range, or
    sqrt(1 + ln(context / original) / ln(original)), as in transformers' Phi3.

    Attributes:
        original_max_position_embeddings: the context of the first training, in tokens.
        short_factor, long_factor: one divisor per rotated pair of features.
        short_attention_factor, long_attention_factor: Phi-3.5-MoE's short_mscale and long_mscale.
    """

    original_max_position_embeddings: PositiveInt
    short_factor: tuple[PositiveFloat, ...]
    long_factor: tuple[PositiveFloat, ...]
    short_attention_factor: PositiveFloat | None = None
    long_attention_factor: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.short_factor) != len(self.long_factor):
            raise ValueError(
                "short_factor and long_factor need one number per rotated pair, "
                f"got {len(self.short_factor)} and {len(self.long_factor)}"
            )
        return self

    def attention_factor(self, num_tokens: int, max_position_embeddings: int) -> float:
        """What cosines and sines are multiplied by in a text of so many tokens."""
        original = self.original_max_position_embeddings
        long = num_tokens > original
        given = self.long_attention_factor if long else self.short_attention_factor
        if given is not None:
            return given
        ratio = max_position_embeddings / original
        return 1.0 if ratio <= 1.0 else math.sqrt(1.0 + math.log(ratio) / math.log(original))


class Rope(Spec):
    """Rotates the first `partial_rotary_factor` of every head, half-split as in transformers."""

    theta: PositiveFloat = 10_000.0
    partial_rotary_factor: float = Field(default=1.0, gt=0.0, le=1.0)
    long_rope: LongRope | None = None

    def rotary_dim(self, head_dim: int) -> int:
        """Rotated features of a head: an even number, as transformers truncates it."""
        return int(head_dim * self.partial_rotary_factor) // 2 * 2

    def explain(self, head_dim: int) -> str | None:
        """Why heads of this width cannot be rotated so, or None."""
        pairs = self.rotary_dim(head_dim) // 2
        if pairs == 0:
            return (
                f"partial_rotary_factor {self.partial_rotary_factor:g} rotates nothing "
                f"of a head of {head_dim}"
            )
        if self.long_rope is not None and len(self.long_rope.short_factor) != pairs:
            return (
                f"long_rope has {len(self.long_rope.short_factor)} factors "
                f"for {pairs} rotated pairs of features"
            )
        return None

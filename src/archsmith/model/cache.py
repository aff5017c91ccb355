"""What generation remembers between calls."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from archsmith.model.mixers.base import Memory


@dataclass
class Cache:
    """The number of tokens seen and each layer's memory of them.

    Attributes:
        tokens: the text itself, [B, num_tokens], while it may still have to be computed again.
    """

    num_tokens: int = 0
    layers: list[Memory] = field(default_factory=list)
    tokens: Tensor | None = None

    def extend(
        self, tokens: Int[Tensor, "B T"], *, num_layers: int, switch_lengths: Collection[int]
    ) -> Int[Tensor, "B S"]:
        """Count more tokens in; return what has to be computed: them, or all of the text.

        All of it where a text of this length is computed differently from its first position on
        (`MixerModule.switch_length`), so that no layer's memory holds any longer.
        """
        before, after = self.num_tokens, self.num_tokens + tokens.shape[1]
        text = tokens if self.tokens is None else torch.cat((self.tokens, tokens), dim=1)
        expired = any(before <= switch < after for switch in switch_lengths)
        if expired or not self.layers:
            self.layers = [{} for _ in range(num_layers)]
        self.tokens = text if after <= max(switch_lengths, default=0) else None
        self.num_tokens = after
        return text if expired else tokens

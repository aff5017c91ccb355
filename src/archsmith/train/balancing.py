"""Experts in training: the noise of an update, correction biases, and how evenly tokens spread.

The noise depends on the seed and the update's number alone, so a resumed run draws the same.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from archsmith.model.routing import Routing

_STREAM = 0x726F757465  # keeps this noise apart from other uses of the seed


class ExpertLoad(NamedTuple):
    """Shares of one layer's assignments that its experts got; they sum to 1."""

    shares: tuple[float, ...]

    @property
    def imbalance(self) -> float:
        """The busiest expert's share over the mean: 1 is even, the number of experts collapsed."""
        return max(self.shares) * len(self.shares)

    @property
    def evenness(self) -> float:
        """Entropy of the shares over its maximum: 1 is even, 0 is one expert alone."""
        if len(self.shares) == 1:
            return 1.0
        entropy = -sum(share * math.log(share) for share in self.shares if share > 0)
        return entropy / math.log(len(self.shares))


def expert_details(loads: Sequence[ExpertLoad]) -> dict[str, Any]:
    """What a result says of its experts, as JSON values; nothing where there are none."""
    if not loads:
        return {}
    return {
        "expert_imbalance": max(load.imbalance for load in loads),
        "expert_evenness": min(load.evenness for load in loads),
        "expert_shares": [list(load.shares) for load in loads],
    }


def new_routing(*, seed: int, number: int, device: torch.device) -> Routing:
    """The routing of update `number`, with its noise."""
    state = np.random.SeedSequence([_STREAM, seed, number]).generate_state(1, np.uint64)
    return Routing(torch.Generator(device).manual_seed(int(state[0])))


def correct_biases(biases: Sequence[Tensor], routing: Routing, *, rate: float) -> None:
    """Add `rate` for experts that got less than the mean load, take it from those with more.

    Wang et al. 2024, arXiv 2408.15664.

    Args:
        biases: masters of the correction biases, [X] each, in the order of layers.
    """
    corrected = [layer for layer in routing.layers if layer.logits is None]
    for bias, layer in zip(biases, corrected, strict=True):
        loads = layer.loads.to(bias.dtype)
        bias.add_(torch.sign(loads.mean() - loads), alpha=rate)

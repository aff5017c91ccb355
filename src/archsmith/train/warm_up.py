"""The first updates of a process, taken before anybody waits for them.

They import what training imports late and let the libraries prepare themselves: with `import torch`
that is seconds, which processes forked afterwards do not spend.
"""

from functools import cache
from typing import Any

import numpy as np
import torch

from archsmith.architecture.tree import Architecture
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype
from archsmith.train.recipe import Recipe

_TOKENS = 16
_FEED_FORWARDS: tuple[dict[str, Any], ...] = (
    {"type": "gated_mlp", "intermediate_size": 32},
    {
        "type": "mixture_of_experts",
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 16,
    },
)


@cache
def first_updates(recipe: Recipe) -> None:
    """An update of a tiny dense network and of one with experts, on the processor, one thread."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    for feed_forward in _FEED_FORWARDS:
        learner = Learner(
            _network(feed_forward),
            recipe=recipe,
            seed=0,
            device=device,
            dtype=choose_dtype(recipe.dtype, device),
        )
        batch = np.arange(2 * (_TOKENS + 1), dtype=np.int64).reshape(2, -1)
        learner.update(batch, number=0, factor=1.0)
        learner.model()


def _network(feed_forward: dict[str, Any]) -> Architecture:
    mixer = {"type": "attention", "num_attention_heads": 2, "num_key_value_heads": 1}
    return Architecture.model_validate(
        {
            "hidden_size": 32,
            "vocab_size": 2 * (_TOKENS + 1),
            "max_position_embeddings": _TOKENS,
            "layers": [{"mixer": {**mixer, "head_dim": 16}, "feed_forward": feed_forward}],
        }
    )

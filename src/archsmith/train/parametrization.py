"""Learning rates per tensor, so that one calibrated rate serves every width and depth.

The forward pass is the stock classes' own and holds no multipliers, so what muP (Yang et al. 2022,
arXiv 2203.03466) and CompleteP (Dey et al. 2025, arXiv 2505.01618) ask for is absorbed into initial
scales (`archsmith.model.initialization`) and rates. Both optimizers ignore a gradient's scale,
which makes the absorption exact:

| tensor                              | AdamW                      | Muon                         |
| ----------------------------------- | -------------------------- | ---------------------------- |
| hidden matrix                       | rate · 256 / fan_in        | rate · max(1, out / in)^1/2  |
| hidden matrix that writes residual  | the same · 6 / depth       | the same · 6 / depth         |
| untied head                         | head rate · 256/width      | AdamW, the same              |
| embedding tied to the head          | embedding rate · √(256/w)  | AdamW, the same              |
| router, gate of a shared expert     | router rate · 256/width    | AdamW, the same              |
| embedding with a head beside it     | embedding rate             | AdamW, the same              |
| norms, biases                       | a quarter of it            | AdamW, the same              |

Each expert of a tensor [X, F, D] is a hidden matrix. A router is an output, like the head; the
rates of both are a quarter of the embedding's.
A tied table is an input, whose rate does not depend on width, and an output, whose rate falls with
it: the root is the mean of the two. Weight decay per step does not depend on the shape.
"""

import math
from typing import NamedTuple

from archsmith.architecture.tree import Architecture
from archsmith.model.initialization import RESIDUAL_WRITERS, ROUTERS, part_name
from archsmith.train.recipe import Recipe

BASE_WIDTH = 256
BASE_DEPTH = 6
# Of the embedding's rate, for norms, biases and a head with weights of its own. With norms and
# biases at the whole rate a network that has both lost 0.12 bits per byte
# (experiments/2026-11-22-embedding-rate).
VECTOR_SHARE = HEAD_SHARE = 0.25
# Of the embedding's rate, for routers. Shares of 0.04, 0.25 and 1 ended within seed noise of each
# other (width 128, 8 experts, 150 updates on text, two seeds).
ROUTER_SHARE = 0.25


class TensorRule(NamedTuple):
    """How one tensor is updated at the full rate.

    `decay` is the share a step takes away; `muon` says which optimizer moves it.
    """

    learning_rate: float
    decay: float
    muon: bool


def tensor_rule(
    name: str, shape: tuple[int, ...], *, architecture: Architecture, recipe: Recipe
) -> TensorRule:
    """The rule of a tensor, by its canonical name and shape."""
    part = part_name(name)
    if len(shape) < 2:
        return TensorRule(VECTOR_SHARE * recipe.embedding_learning_rate, 0.0, muon=False)
    if part in ("embed_tokens", "lm_head"):
        narrower = BASE_WIDTH / architecture.hidden_size
        factor = HEAD_SHARE * narrower
        if part == "embed_tokens":
            factor = math.sqrt(narrower) if architecture.tie_word_embeddings else 1.0
        return TensorRule(recipe.embedding_learning_rate * factor, 0.0, muon=False)
    if part in ROUTERS:
        rate = ROUTER_SHARE * recipe.embedding_learning_rate * BASE_WIDTH / shape[-1]
        return TensorRule(rate, 0.0, muon=False)
    muon = recipe.optimizer == "muon"
    fan_out, fan_in = shape[-2:]
    factor = math.sqrt(max(1.0, fan_out / fan_in)) if muon else BASE_WIDTH / fan_in
    if part in RESIDUAL_WRITERS:
        factor *= BASE_DEPTH / architecture.num_hidden_layers
    decay = recipe.learning_rate * recipe.weight_decay
    return TensorRule(recipe.learning_rate * factor, decay, muon=muon)

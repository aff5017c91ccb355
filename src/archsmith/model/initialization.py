"""Every initial weight, in one place.

| tensor                                   | distribution                                        |
| ---------------------------------------- | --------------------------------------------------- |
| embedding table (and tied head)          | normal, standard deviation 0.02                     |
| untied head                              | normal, 0.5 / hidden_size                           |
| matrices that write to the residual      | normal, fan_in^-1/2 / (2 · num_hidden_layers)       |
| router, gate of a shared expert          | normal, 0.5 / fan_in: even routing at the start     |
| every other matrix                       | normal, fan_in^-1/2                                 |
| norm weights                             | 1                                                   |
| biases                                   | 0                                                   |

Widths and depths are meant to share one learning rate, so scales follow the fan-in (muP, Yang et
al. 2022, arXiv 2203.03466: hidden matrices at fan_in^-1/2, the head smaller by another root) and
what a layer adds to the residual follows 1/depth (CompleteP, Dey et al. 2025, arXiv 2505.01618:
its multiplier, absorbed in the output matrices, so that a stock class can load the model).
A tensor [X, F, D] of experts is X matrices. `archsmith.train.parametrization` holds the learning
rates that belong to it.
"""

import math

import torch
from torch import nn

RESIDUAL_WRITERS = ("o_proj", "down_proj", "fc2")
ROUTERS = ("gate", "shared_expert_gate")
EMBEDDING_STD = 0.02


def initialize(model: nn.Module, *, num_hidden_layers: int, seed: int) -> None:
    """Fill every parameter of a Transformer in place, from one generator in a fixed order."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        std = initial_std(name, tuple(parameter.shape), num_hidden_layers=num_hidden_layers)
        with torch.no_grad():
            if std is None:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                # drawn on the CPU, so that a seed means the same weights on every device
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def initial_std(name: str, shape: tuple[int, ...], *, num_hidden_layers: int) -> float | None:
    """Standard deviation of a tensor by its canonical name; None for norms and biases."""
    if len(shape) < 2:
        return None
    fan_in = shape[-1]
    part = part_name(name)
    if part == "embed_tokens":
        return EMBEDDING_STD
    if part == "lm_head" or part in ROUTERS:
        return 0.5 / fan_in
    std = 1.0 / math.sqrt(fan_in)
    return std / (2 * num_hidden_layers) if part in RESIDUAL_WRITERS else std


def part_name(name: str) -> str:
    """What a weight is part of: `q_proj` of `….q_proj.weight`, `up_proj` of `….experts.up_proj`."""
    return name.removesuffix(".weight").rsplit(".", 1)[-1]

"""Granite 3 (IBM 2024): Llama with muP's multipliers (Yang et al. 2022, arXiv 2203.03466)."""

import math
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import head_size, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.families.llama import layer


def architecture(config: StockConfig) -> Architecture:
    """The tree of a GraniteConfig."""
    scale = attention_multiplier(config, head_size(config))
    one = layer(config, attention_multiplier=scale)
    return stack(config, [one] * config.integer("num_hidden_layers"), **multipliers(config))


def attention_multiplier(config: StockConfig, head_dim: int) -> float | None:
    """The scale of the scores, or None where it is the usual one; the class's default is 1."""
    scale = config.number("attention_multiplier", 1.0)
    return None if math.isclose(scale, head_dim**-0.5) else scale


def multipliers(config: StockConfig) -> dict[str, Any]:
    """The three multipliers of the whole network."""
    names = ("embedding_multiplier", "residual_multiplier", "logits_scaling")
    return {name: config.number(name, 1.0) for name in names}


PART = Family(architecture)

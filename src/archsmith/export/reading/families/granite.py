"""Granite 3 (IBM 2024): Llama with muP's multipliers (Yang et al. 2022, arXiv 2203.03466)."""

import math
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a GraniteConfig."""
    head_dim = head_size(config)
    bias = config.flag("attention_bias", False)
    layer = {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim),
            qkv_bias=bias,
            output_bias=bias,
            attention_multiplier=attention_multiplier(config, head_dim),
        ),
        "feed_forward": gated_mlp(config, bias=config.flag("mlp_bias", False)),
    }
    return stack(config, [layer] * config.integer("num_hidden_layers"), **multipliers(config))


def attention_multiplier(config: StockConfig, head_dim: int) -> float | None:
    """The scale of the scores, or None where it is the usual one; the class's default is 1."""
    scale = config.number("attention_multiplier", 1.0)
    return None if math.isclose(scale, head_dim**-0.5) else scale


def multipliers(config: StockConfig) -> dict[str, Any]:
    """The three multipliers of the whole network."""
    names = ("embedding_multiplier", "residual_multiplier", "logits_scaling")
    return {name: config.number(name, 1.0) for name in names}


PART = Family(architecture)

"""Llama (Touvron et al. 2023, arXiv 2302.13971), Llama 3.1 and 3.2 with their scaled rotary."""

from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a LlamaConfig."""
    return stack(config, [layer(config)] * config.integer("num_hidden_layers"))


def layer(config: StockConfig, **mixer: Any) -> dict[str, Any]:
    """A layer of Llama's; `mixer` is what a family has beside it in its attention."""
    head_dim = head_size(config)
    bias = config.flag("attention_bias", False)
    return {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim),
            qkv_bias=bias,
            output_bias=bias,
            **mixer,
        ),
        "feed_forward": gated_mlp(config, bias=config.flag("mlp_bias", False)),
    }


PART = Family(architecture)

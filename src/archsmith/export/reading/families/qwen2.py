"""Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671): Llama with biases of q, k and v."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, stack, windows
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Qwen2Config."""
    return dense_qwen(config, head_dim=head_size(config), qkv_bias=True)


def dense_qwen(config: StockConfig, *, head_dim: int, **fields: bool) -> Architecture:
    """What Qwen2 and Qwen3 share; `fields` are those of the attention."""
    rope = read_rope(config, head_dim)
    sliding = config.flag("use_sliding_window", False)
    first = config.integer("max_window_layers", 28, least=0)
    depth = config.integer("num_hidden_layers")
    layers = [
        {
            "mixer": attention(config, head_dim=head_dim, rope=rope, window=window, **fields),
            "feed_forward": gated_mlp(config),
        }
        for window in windows(config, sliding=[sliding and i >= first for i in range(depth)])
    ]
    return stack(config, layers)


PART = Family(architecture)

"""Phi-3 to phi-4-mini (Abdin et al. 2024, arXiv 2404.14219), with partial rotary and LongRoPE."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, one_window, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Phi3Config. Its joined matrices are taken apart as for every family."""
    head_dim = head_size(config)
    rope = read_rope(config, head_dim, partial=1.0, original=4096, yarn_is_longrope=True)
    mixer = attention(config, head_dim=head_dim, rope=rope, window=one_window(config))
    layer = {"mixer": mixer, "feed_forward": gated_mlp(config)}
    return stack(config, [layer] * config.integer("num_hidden_layers"), default_eps=1e-5)


PART = Family(architecture)

"""Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama with one sliding window."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, one_window, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a MistralConfig."""
    head_dim = head_size(config)
    rope = read_rope(config, head_dim)
    window = one_window(config) if config.has("sliding_window") else 4096
    mixer = attention(config, head_dim=head_dim, rope=rope, window=window)
    layer = {"mixer": mixer, "feed_forward": gated_mlp(config)}
    return stack(config, [layer] * config.integer("num_hidden_layers"))


PART = Family(architecture)

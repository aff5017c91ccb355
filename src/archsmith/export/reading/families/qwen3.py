"""Qwen3 (Yang et al. 2025, arXiv 2505.09388): queries and keys normalized head by head."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import head_size
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.families.qwen2 import dense_qwen


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Qwen3Config; its heads are 128 wide unless it says otherwise."""
    bias = config.flag("attention_bias", False)
    return dense_qwen(
        config,
        head_dim=head_size(config, default=128),
        qk_norm=True,
        qkv_bias=bias,
        output_bias=bias,
    )


PART = Family(architecture)

"""Qwen3-MoE (Yang et al. 2025, arXiv 2505.09388): fine-grained experts, some layers dense."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import (
    attention,
    experts,
    gated_mlp,
    head_size,
    one_window,
    sparse_layers,
    stack,
)
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Qwen3MoeConfig."""
    head_dim = head_size(config)
    bias = config.flag("attention_bias", False)
    mixer = attention(
        config,
        head_dim=head_dim,
        rope=read_rope(config, head_dim),
        window=one_window(config) if config.flag("use_sliding_window", False) else None,
        qk_norm=True,
        qkv_bias=bias,
        output_bias=bias,
    )
    sparse = sparse_layers(config)
    blocks = {True: _experts(config)} if any(sparse) else {}
    if not all(sparse):
        blocks[False] = gated_mlp(config)
    return stack(config, [{"mixer": mixer, "feed_forward": blocks[here]} for here in sparse])


def _experts(config: StockConfig) -> dict[str, object]:
    return experts(
        config,
        width="moe_intermediate_size",
        num_experts=128,
        num_experts_per_tok=8,
        norm_topk_prob=config.flag("norm_topk_prob", False),
    )


PART = Family(architecture)

"""Qwen1.5-MoE and Qwen2-MoE (Yang et al. 2024, arXiv 2407.10671): experts, one of them shared."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import (
    attention,
    experts,
    gated_mlp,
    head_size,
    sparse_layers,
    stack,
    windows,
)
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Qwen2MoeConfig."""
    head_dim = head_size(config)
    rope = read_rope(config, head_dim)
    bias = config.flag("qkv_bias", True)
    layers = []
    for sparse, window in zip(sparse_layers(config), _windows(config), strict=True):
        mixer = attention(config, head_dim=head_dim, rope=rope, window=window, qkv_bias=bias)
        layers.append({"mixer": mixer, "feed_forward": _feed_forward(config, sparse=sparse)})
    return stack(config, layers)


def _feed_forward(config: StockConfig, *, sparse: bool) -> dict[str, object]:
    if not sparse:
        return gated_mlp(config)
    return experts(
        config,
        width="moe_intermediate_size",
        num_experts=60,
        num_experts_per_tok=4,
        norm_topk_prob=config.flag("norm_topk_prob", False),
        shared_expert_intermediate_size=config.integer("shared_expert_intermediate_size"),
        shared_expert_gate=True,
    )


def _windows(config: StockConfig) -> list[int | None]:
    last = config.integer("max_window_layers", 28, least=0)
    depth = config.integer("num_hidden_layers")
    used = config.flag("use_sliding_window", False)
    return windows(config, sliding=[used and i % 2 == 0 and i < last for i in range(depth)])


PART = Family(architecture)

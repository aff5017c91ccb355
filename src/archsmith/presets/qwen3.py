"""Qwen3, dense and with experts (Yang et al. 2025, arXiv 2505.09388, and the `config.json` files).

Heads are normalized, and together twice as wide as the network.
"""

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.presets._build import gated


def qwen3_0_6b() -> Architecture:
    """Qwen3 0.6B."""
    return gated(
        hidden_size=1024,
        depth=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=3072,
        vocab_size=151936,
        context_tokens=40960,
        theta=1_000_000.0,
        tied=True,
        qk_norm_over="head",
        eps=1e-6,
    )


def qwen3_30b_a3b() -> Architecture:
    """Qwen3 30B-A3B: 128 experts of 768, eight per token; 30.5B parameters, 3.3B of them active."""
    return gated(
        hidden_size=2048,
        depth=48,
        num_attention_heads=32,
        num_key_value_heads=4,
        head_dim=128,
        feed_forward=MixtureOfExperts(
            num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768
        ),
        vocab_size=151936,
        context_tokens=40960,
        theta=1_000_000.0,
        qk_norm_over="head",
        eps=1e-6,
    )

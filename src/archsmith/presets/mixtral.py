"""Mixtral (Jiang et al. 2024, arXiv 2401.04088, and the published `config.json`)."""

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.presets._build import gated


def mixtral_8x7b() -> Architecture:
    """Mixtral 8x7B: 8 experts of 14336, two per token; 46.7B parameters, 12.9B of them active."""
    return gated(
        hidden_size=4096,
        depth=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        feed_forward=MixtureOfExperts(
            num_experts=8, num_experts_per_tok=2, moe_intermediate_size=14336
        ),
        vocab_size=32000,
        context_tokens=32768,
        theta=1_000_000.0,
    )

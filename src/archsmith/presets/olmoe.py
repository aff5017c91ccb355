"""OLMoE (Muennighoff et al. 2024, arXiv 2409.02060, and the published `config.json`)."""

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.presets._build import gated


def olmoe_1b_7b() -> Architecture:
    """OLMoE-1B-7B: 64 experts of 1024, eight per token; 6.9B parameters, 1.3B of them active."""
    return gated(
        hidden_size=2048,
        depth=16,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=128,
        feed_forward=MixtureOfExperts(
            num_experts=64,
            num_experts_per_tok=8,
            moe_intermediate_size=1024,
            norm_topk_prob=False,
        ),
        vocab_size=50304,
        context_tokens=4096,
        qk_norm_over="all_heads",
    )

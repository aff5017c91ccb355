"""Phi-3.5-MoE (Abdin et al. 2024, arXiv 2404.14219; GRIN, Liu et al. 2024, arXiv 2409.12136)."""

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer
from archsmith.presets.long_rope import published_long_ropes


def phi_3_5_moe() -> Architecture:
    """Phi-3.5-MoE: 16 experts of 6400, two per token; 41.9B parameters, 6.6B of them active.

    Its window of 131072 tokens is as long as the context and masks nothing; it is left out.
    """
    norm = Norm(type="layer")
    layer = Layer(
        mixer=Attention(
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            rope=Rope(long_rope=published_long_ropes()["phi_3_5_moe"]),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=MixtureOfExperts(
            num_experts=16,
            num_experts_per_tok=2,
            moe_intermediate_size=6400,
            router="sparsemixer",
        ),
        norm=norm,
    )
    return Architecture(
        hidden_size=4096,
        vocab_size=32064,
        max_position_embeddings=131072,
        layers=(layer,) * 32,
        final_norm=norm,
        tie_word_embeddings=False,
        lm_head_bias=True,
    )

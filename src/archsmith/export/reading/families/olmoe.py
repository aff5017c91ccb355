"""OLMoE (Muennighoff et al. 2024, arXiv 2409.02060): all heads' queries and keys normed at once."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, experts, head_size, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of an OlmoeConfig."""
    config.only("clip_qkv", [], "archsmith does not clip queries, keys and values; null is read")
    head_dim = head_size(config)
    bias = config.flag("attention_bias", False)
    layer = {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim),
            qk_norm=True,
            qk_norm_over="all_heads",
            qkv_bias=bias,
            output_bias=bias,
        ),
        "feed_forward": experts(
            config,
            width="intermediate_size",
            num_experts=64,
            num_experts_per_tok=8,
            norm_topk_prob=config.flag("norm_topk_prob", False),
        ),
    }
    return stack(config, [layer] * config.integer("num_hidden_layers"), default_eps=1e-5)


PART = Family(architecture)

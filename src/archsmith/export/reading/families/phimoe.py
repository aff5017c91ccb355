"""Phi-3.5-MoE (Abdin et al. 2024, arXiv 2404.14219; Liu et al. 2024, arXiv 2409.12136)."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, experts, head_size, one_window, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.families.mixtral import NAMES
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a PhimoeConfig. Jitter of the input belongs to training alone."""
    head_dim = head_size(config)
    bias = config.flag("attention_bias", False)
    layer = {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim, theta=1_000_000.0, mscale=True),
            window=one_window(config),
            qkv_bias=bias,
            output_bias=bias,
        ),
        "feed_forward": experts(
            config,
            width="intermediate_size",
            num_experts=16,
            num_experts_per_tok=2,
            router="sparsemixer",
            router_jitter_noise=config.number("router_jitter_noise", 0.01),
        ),
    }
    return stack(
        config,
        [layer] * config.integer("num_hidden_layers"),
        default_eps=1e-5,
        norm="layer",
        lm_head_bias=config.flag("lm_head_bias", False),
    )


PART = Family(architecture, names=(*NAMES, (".router.", ".gate.")))

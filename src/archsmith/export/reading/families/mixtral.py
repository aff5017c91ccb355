"""Mixtral (Jiang et al. 2024, arXiv 2401.04088): Mistral with experts."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, experts, head_size, one_window, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope

# as published and written; in memory the block is `mlp`
NAMES = (
    (".block_sparse_moe.", ".mlp."),
    (".w1.", ".gate_proj."),
    (".w2.", ".down_proj."),
    (".w3.", ".up_proj."),
)


def architecture(config: StockConfig) -> Architecture:
    """The tree of a MixtralConfig."""
    head_dim = head_size(config)
    rope = read_rope(config, head_dim, theta=1_000_000.0)
    layer = {
        "mixer": attention(config, head_dim=head_dim, rope=rope, window=one_window(config)),
        "feed_forward": experts(
            config, width="intermediate_size", num_experts=8, num_experts_per_tok=2
        ),
    }
    return stack(config, [layer] * config.integer("num_hidden_layers"), default_eps=1e-5)


PART = Family(architecture, names=NAMES)

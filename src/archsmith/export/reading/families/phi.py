"""phi-1, phi-1.5 and phi-2 (Gunasekar et al. 2023, arXiv 2306.11644): parallel, half rotated."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, head_size, mlp, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a PhiConfig."""
    config.only("qk_layernorm", [False], "archsmith normalizes heads by root mean square only")
    head_dim = head_size(config)
    layer = {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim, partial=0.5),
            qkv_bias=True,
            output_bias=True,
        ),
        "feed_forward": mlp(config, default_activation="gelu_new", bias=True),
        "residual": "parallel",
    }
    return stack(
        config,
        [layer] * config.integer("num_hidden_layers"),
        eps="layer_norm_eps",
        default_eps=1e-5,
        norm="layer",
        lm_head_bias=True,
    )


PART = Family(
    architecture,
    names=(("self_attn.dense.", "self_attn.o_proj."), ("model.final_layernorm.", "model.norm.")),
)

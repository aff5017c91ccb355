"""StarCoder2 (Lozhkov et al. 2024, arXiv 2402.19173): LayerNorm, plain MLP, biases."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, head_size, mlp, one_window, stack
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a Starcoder2Config."""
    head_dim = head_size(config)
    bias = config.flag("use_bias", True)
    layer = {
        "mixer": attention(
            config,
            head_dim=head_dim,
            rope=read_rope(config, head_dim),
            window=one_window(config),
            qkv_bias=bias,
            output_bias=bias,
        ),
        "feed_forward": mlp(config, default_activation="gelu_pytorch_tanh", bias=bias),
    }
    return stack(
        config,
        [layer] * config.integer("num_hidden_layers"),
        eps="norm_epsilon",
        default_eps=1e-5,
        norm="layer",
        tied=True,
    )


PART = Family(architecture, names=(("mlp.c_fc.", "mlp.fc1."), ("mlp.c_proj.", "mlp.fc2.")))

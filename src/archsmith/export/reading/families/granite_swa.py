"""Granite with sliding windows, layers without rotary, and attention sinks that must be off."""

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import attention, gated_mlp, head_size, stack, windows
from archsmith.export.reading.config import StockConfig, is_number
from archsmith.export.reading.families.granite import attention_multiplier, multipliers
from archsmith.export.reading.rope import read_rope


def architecture(config: StockConfig) -> Architecture:
    """The tree of a GraniteSWAConfig; a layer's theta of 0 means no rotary embedding there."""
    head_dim = head_size(config)
    depth = config.integer("num_hidden_layers")
    bias = config.flag("attention_bias", False)
    scale = attention_multiplier(config, head_dim)
    feed_forward = gated_mlp(config, bias=config.flag("mlp_bias", False))
    rope = read_rope(config, head_dim)
    layers = []
    for window, theta in zip(
        windows(config, sliding=[index % 4 != 0 for index in range(depth)]),
        _thetas(config, depth, rope.theta),
        strict=True,
    ):
        mixer = attention(
            config,
            head_dim=head_dim,
            rope=rope.model_copy(update={"theta": theta}) if theta else None,
            window=window,
            qkv_bias=bias,
            output_bias=bias,
            attention_multiplier=scale,
        )
        layers.append({"mixer": mixer, "feed_forward": feed_forward})
    return stack(config, layers, tied=True, default_eps=1e-5, **multipliers(config))


def _thetas(config: StockConfig, depth: int, theta: float) -> list[float]:
    given = config.get("layer_rope_theta", [theta] * depth)
    if (
        not isinstance(given, list)
        or len(given) != depth
        or not all(is_number(one) and one >= 0 for one in given)
    ):
        raise config.wrong("layer_rope_theta", f"must have one number for each of {depth} layers")
    return [float(one) for one in given]


PART = Family(architecture)

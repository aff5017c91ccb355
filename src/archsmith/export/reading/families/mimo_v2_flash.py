"""MiMo-V2-Flash (Xiaomi 2025): any layer windowed or full, dense or of experts (sigmoid router).

Scales of values and of routed experts are multiplied into the weights; sinks must be off.
"""

from typing import Any

from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture
from archsmith.export.reading.base import Family
from archsmith.export.reading.blocks import (
    LAYER_KINDS,
    attention,
    experts,
    gated_mlp,
    head_size,
    num_heads,
    stack,
)
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.rope import read_rope

_SHARE, _THETA = 0.334, {"full_attention": 5_000_000.0, "sliding_attention": 10_000.0}


def architecture(config: StockConfig) -> Architecture:
    """The tree of a MiMoV2FlashConfig; windowed layers have twice the key-value heads."""
    head_dim = head_size(config, default=192)
    if config.integer("v_head_dim", 128) != head_dim:
        raise config.wrong("v_head_dim", f"values must be as wide as heads, {head_dim}")
    if config.integer("n_group", 1) != config.integer("topk_group", 1):
        raise config.wrong("topk_group", "experts are chosen among all groups; give n_group's")
    depth = config.integer("num_hidden_layers")
    kinds = config.names("layer_types", LAYER_KINDS, depth) or [
        LAYER_KINDS[index > 0 and (index + 1) % 6 != 0] for index in range(depth)
    ]
    blocks = config.names("mlp_layer_types", ("dense", "sparse"), depth)
    ropes = {kind: _rope(config, kind, head_dim) for kind in set(kinds)}
    layers = [
        {
            "mixer": _mixer(config, kind, head_dim, ropes[kind]),
            "feed_forward": _feed_forward(config, sparse=block == "sparse"),
        }
        for kind, block in zip(kinds, blocks or ["dense", *["sparse"] * (depth - 1)], strict=True)
    ]
    return stack(config, layers, default_eps=1e-5)


def _rope(config: StockConfig, kind: str, head_dim: int) -> Rope:
    every = config.get("rope_parameters", {})
    own = every.get(kind, every) if isinstance(every, dict) else {}
    return read_rope(config, head_dim, theta=_THETA[kind], partial=_SHARE, parameters=own)


def _mixer(config: StockConfig, kind: str, head_dim: int, rope: Rope) -> dict[str, Any]:
    sliding = kind == "sliding_attention"
    window = None
    if sliding:
        # the published config counts the tokens before the query, transformers the query too
        given = config.get("sliding_window_size") is not None
        window = (
            config.integer("sliding_window_size") + 1
            if given
            else config.integer("sliding_window", 129)
        )
    fields = attention(config, head_dim=head_dim, rope=rope, window=window)
    fields["qkv_bias"] = config.flag("attention_bias", False)
    fields["num_key_value_heads"] = num_heads(config)[1] * (2 if sliding else 1)
    return fields


def _feed_forward(config: StockConfig, *, sparse: bool) -> dict[str, Any]:
    if not sparse:
        return gated_mlp(config)
    return experts(
        config,
        width="moe_intermediate_size",
        num_experts=256,
        num_experts_per_tok=8,
        router="sigmoid",
        norm_topk_prob=config.flag("norm_topk_prob", True),
    )


def _scales(config: StockConfig) -> dict[str, float]:
    value = config.number("attention_value_scale", 0.707 if _silent(config) else 1.0)
    return {
        "self_attn.v_proj.weight": value,
        "self_attn.v_proj.bias": value,
        "mlp.experts.down_proj": config.number("routed_scaling_factor", 1.0),
    }


def _silent(config: StockConfig) -> bool:
    """Whether the config says nothing of the value scale; null says that there is none."""
    return not config.has("attention_value_scale")


PART = Family(
    architecture,
    names=(("self_attn.attention_sink_bias", "self_attn.sinks"),),
    scales=_scales,
)

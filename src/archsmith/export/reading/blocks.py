"""Blocks and trees from a stock config, in the words that most model types share.

A family says which settings its class reads; the values go through here into specs, so that every
refusal names the key of `config.json` that caused it.
"""

from collections.abc import Iterable
from typing import Any

from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer
from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.export.reading.config import StockConfig

Block = dict[str, Any]

# activations by transformers' names; these three formulas of GELU are one (Hendrycks & Gimpel 2016)
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu2": "relu2",
}
LAYER_KINDS = ("full_attention", "sliding_attention")


def num_heads(config: StockConfig) -> tuple[int, int]:
    """Query heads, and key-value heads."""
    heads = config.integer("num_attention_heads")
    return heads, config.integer("num_key_value_heads", heads)


def head_size(config: StockConfig, default: int | None = None) -> int:
    """Width of a head: declared, or else the class's default or the width's share."""
    share = config.integer("hidden_size") // config.integer("num_attention_heads")
    return config.integer("head_dim", default or max(1, share))


def attention(
    config: StockConfig,
    *,
    head_dim: int,
    rope: Rope | None,
    window: int | None = None,
    **fields: Any,
) -> Block:
    """Attention over the config's heads; a window as long as the context is none."""
    heads, kv_heads = num_heads(config)
    if window is not None and window >= config.integer("max_position_embeddings"):
        window = None
    return {
        "type": "attention",
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rope": rope,
        "sliding_window": window,
        **fields,
    }


def activation(config: StockConfig, allowed: Iterable[str], default: str = "silu") -> str:
    """`hidden_act` in our words. Raises ConfigError for one that is not among the `allowed`."""
    given = config.get("hidden_act", default)
    found = _ACTIVATIONS.get(given, "") if isinstance(given, str) else ""
    if found not in allowed:
        known = ", ".join(name for name, ours in _ACTIVATIONS.items() if ours in allowed)
        raise config.wrong("hidden_act", f"archsmith computes {known} here")
    return found


def gated_mlp(config: StockConfig, *, bias: bool = False) -> Block:
    """Llama's feed-forward block."""
    return {
        "type": "gated_mlp",
        "intermediate_size": config.integer("intermediate_size"),
        "activation": activation(config, ("silu", "gelu_tanh")),
        "bias": bias,
    }


def mlp(config: StockConfig, *, default_activation: str, bias: bool) -> Block:
    """Phi's and StarCoder2's feed-forward block."""
    return {
        "type": "mlp",
        "intermediate_size": config.integer("intermediate_size"),
        "activation": activation(config, ("gelu_tanh", "silu", "relu2"), default_activation),
        "bias": bias,
    }


def experts(
    config: StockConfig, *, width: str, num_experts: int, num_experts_per_tok: int, **fields: Any
) -> Block:
    """A mixture of experts.

    Args:
        width: the key that holds the width of one expert.
        num_experts, num_experts_per_tok: the class's own defaults.
    """
    activation(config, ("silu",))
    # classes that call it one thing in memory write either name
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    key = next((name for name in names if config.get(name) is not None), names[0])
    return {
        "type": "mixture_of_experts",
        "num_experts": config.integer(key, num_experts),
        "num_experts_per_tok": config.integer("num_experts_per_tok", num_experts_per_tok),
        "moe_intermediate_size": config.integer(width),
        **fields,
    }


def sparse_layers(config: StockConfig) -> list[bool]:
    """Which layers of Qwen's classes have experts; the others are dense."""
    step = config.integer("decoder_sparse_step", 1)
    dense = config.items("mlp_only_layers")
    depth = config.integer("num_hidden_layers")
    return [index not in dense and (index + 1) % step == 0 for index in range(depth)]


def windows(config: StockConfig, *, sliding: Iterable[bool]) -> list[int | None]:
    """Each layer's window: where `layer_types` says so, or else where the class would have one."""
    depth = config.integer("num_hidden_layers")
    kinds = config.names("layer_types", LAYER_KINDS, depth)
    chosen = [kind == "sliding_attention" for kind in kinds] if kinds else list(sliding)
    if not any(chosen):
        return [None] * depth
    window = config.integer("sliding_window")
    return [window if here else None for here in chosen]


def one_window(config: StockConfig, default: int | None = None) -> int | None:
    """The window of all layers."""
    value = config.get("sliding_window", default)
    return None if value is None else config.integer("sliding_window", default)


def stack(
    config: StockConfig,
    layers: Iterable[Block],
    *,
    eps: str = "rms_norm_eps",
    default_eps: float = 1e-6,
    norm: str = "rms",
    tied: bool = False,
    **fields: Any,
) -> Architecture:
    """The tree of layers given as `mixer`, `feed_forward` and the like.

    Args:
        eps, default_eps: the key of the norms' epsilon, and the class's default.
        norm: "rms" or "layer", everywhere.
        tied: whether the class ties embedding and head by default.

    Raises ConfigError.
    """
    every_norm = {"type": norm, "eps": config.number(eps, default_eps)}
    known: dict[str, Layer] = {}
    built = []
    for index, block in enumerate(layers):
        key = repr(block)  # equal layers are validated once
        if key not in known:
            tree = {"norm": every_norm, **block}
            known[key] = _first_fault(Layer, tree, f"{config.source}: layer {index}")
        built.append(known[key])
    tree = {
        "hidden_size": config.integer("hidden_size"),
        "vocab_size": config.integer("vocab_size"),
        "max_position_embeddings": config.integer("max_position_embeddings"),
        "layers": built,
        "final_norm": every_norm,
        "tie_word_embeddings": config.flag("tie_word_embeddings", tied),
        **fields,
    }
    return _first_fault(Architecture, tree, config.source)


def _first_fault(spec: Any, tree: Block, source: str) -> Any:
    try:
        return validate(spec, tree, source=source)
    except ConfigError as error:
        raise ConfigError(str(error).splitlines()[0]) from None

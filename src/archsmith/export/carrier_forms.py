"""The entries of `config.json` and the GGUF keys of the uniform dense carriers."""

from collections.abc import Sequence
from typing import Any

from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_rules import window_of
from archsmith.export.carrier_tensors import has_bias
from archsmith.export.carriers import Value


def feed_forward_size(layer: Layer) -> int:
    """The width of the feed-forward, or of one expert."""
    block = layer.feed_forward
    width: int = getattr(block, "intermediate_size", None) or block.moe_intermediate_size
    return width


def shape_config(architecture: Architecture) -> dict[str, Any]:
    """Entries that every class has, of a network of equal layers."""
    mixer = architecture.layers[0].mixer
    return {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": feed_forward_size(architecture.layers[0]),
        "num_hidden_layers": architecture.num_hidden_layers,
        "num_attention_heads": mixer.num_attention_heads,
        "num_key_value_heads": mixer.num_key_value_heads,
        "max_position_embeddings": architecture.max_position_embeddings,
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "use_cache": True,
    }


def rope_config(
    rope: Rope | None, *, partial: bool = False, context: int | None = None
) -> dict[str, Any]:
    """Rotary embedding, one for the whole network. LongRoPE is relative to the `context`."""
    rope = rope or Rope()
    parameters: dict[str, Any] = {"rope_theta": rope.theta}
    if partial:
        parameters["partial_rotary_factor"] = rope.partial_rotary_factor
    # repeated at the top level, where transformers 4 and other readers look
    return {
        "rope_parameters": {
            "rope_type": "default",
            **_long_rope_config(rope, context),
            **parameters,
        },
        **parameters,
    }


def _long_rope_config(rope: Rope, context: int | None) -> dict[str, Any]:
    long_rope = rope.long_rope
    if long_rope is None or context is None:
        return {}
    parameters: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": list(long_rope.short_factor),
        "long_factor": list(long_rope.long_factor),
        "original_max_position_embeddings": long_rope.original_max_position_embeddings,
        "factor": max(1.0, context / long_rope.original_max_position_embeddings),
    }
    if long_rope.long_attention_factor is not None:
        parameters["attention_factor"] = long_rope.long_attention_factor
    return parameters


def llama_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of LlamaForCausalLM."""
    mixer = architecture.layers[0].mixer
    return {
        **shape_config(architecture),
        "head_dim": mixer.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": has_bias(mixer),
        "mlp_bias": architecture.layers[0].feed_forward.bias,
        **rope_config(mixer.rope),
    }


def qwen3_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Qwen3ForCausalLM."""
    config = llama_config(architecture)
    del config["mlp_bias"]
    return {**config, "use_sliding_window": False, "sliding_window": None}


def phi_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of PhiForCausalLM."""
    return {
        **shape_config(architecture),
        "hidden_act": "gelu_new",
        "layer_norm_eps": architecture.final_norm.eps,
        "qk_layernorm": False,
        "attention_dropout": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        **rope_config(architecture.layers[0].mixer.rope, partial=True),
    }


def phi3_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Phi3ForCausalLM."""
    return {
        **shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "original_max_position_embeddings": _original_context(architecture),
        "sliding_window": None,
        "pad_token_id": None,
        **rope_config(
            architecture.layers[0].mixer.rope,
            partial=True,
            context=architecture.max_position_embeddings,
        ),
    }


def _original_context(architecture: Architecture) -> int:
    long_rope = architecture.layers[0].mixer.rope.long_rope
    if long_rope is None:
        return architecture.max_position_embeddings
    return int(long_rope.original_max_position_embeddings)


def granite_swa_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of GraniteSWAForCausalLM."""
    mixers = [layer.mixer for layer in architecture.layers]
    rope = next((m.rope for m in mixers if m.rope), None)
    return {
        **shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": has_bias(mixers[0]),
        "mlp_bias": architecture.layers[0].feed_forward.bias,
        "attention_multiplier": mixers[0].softmax_scale,
        "embedding_multiplier": architecture.embedding_multiplier,
        "residual_multiplier": architecture.residual_multiplier,
        "logits_scaling": architecture.logits_scaling,
        "sliding_window": window_or_context(architecture),
        "layer_types": [
            "sliding_attention" if window_of(architecture, m) else "full_attention" for m in mixers
        ],
        "layer_rope_theta": [m.rope.theta if m.rope else 0 for m in mixers],
        **rope_config(rope),
    }


def starcoder2_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Starcoder2ForCausalLM."""
    return {
        **shape_config(architecture),
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": architecture.final_norm.eps,
        "norm_type": "layer_norm",
        "use_bias": True,
        "mlp_type": "default",
        "sliding_window": None,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "residual_dropout": 0.0,
        **rope_config(architecture.layers[0].mixer.rope),
    }


def window_or_context(architecture: Architecture) -> int:
    """The window of the layers that have one; the context where none has."""
    windows = (window_of(architecture, layer.mixer) for layer in architecture.layers)
    return next((w for w in windows if w), architecture.max_position_embeddings)


def window_keys(architecture: Architecture) -> dict[str, Value]:
    """Which layers of a GGUF file have a window, and how long it is.

    llama.cpp aborts where an architecture with windows has none: then the first layer gets one as
    long as the context, which masks nothing.
    """
    windowed = [window_of(architecture, layer.mixer) is not None for layer in architecture.layers]
    if not any(windowed):
        windowed[0] = True
    return {
        "attention.sliding_window": window_or_context(architecture),
        "attention.sliding_window_pattern": tuple(windowed),
    }


def gguf_keys(architecture: Architecture) -> dict[str, Value]:
    """Keys that every architecture of llama.cpp reads; arrays where layers differ."""
    layers = architecture.layers
    mixer = layers[0].mixer
    rope = next((layer.mixer.rope for layer in layers if layer.mixer.rope), Rope())
    norm = architecture.final_norm
    epsilon = "layer_norm_rms_epsilon" if norm.type == "rms" else "layer_norm_epsilon"
    return {
        "vocab_size": architecture.vocab_size,
        "context_length": architecture.max_position_embeddings,
        "embedding_length": architecture.hidden_size,
        "block_count": architecture.num_hidden_layers,
        "feed_forward_length": _one_or_all([feed_forward_size(layer) for layer in layers]),
        "attention.head_count": _one_or_all([layer.mixer.num_attention_heads for layer in layers]),
        "attention.head_count_kv": _one_or_all(
            [layer.mixer.num_key_value_heads for layer in layers]
        ),
        "attention.key_length": mixer.head_dim,
        "attention.value_length": mixer.head_dim,
        f"attention.{epsilon}": norm.eps,
        "rope.dimension_count": rope.rotary_dim(mixer.head_dim),
        "rope.freq_base": rope.theta,
    }


def _one_or_all(values: Sequence[int]) -> int | tuple[int, ...]:
    return values[0] if len(set(values)) == 1 else tuple(values)


def phi3_keys(architecture: Architecture) -> dict[str, Value]:
    """Those of `phi3`. LongRoPE's factors are tensors."""
    context = architecture.max_position_embeddings
    long_rope = architecture.layers[0].mixer.rope.long_rope
    keys = {
        **gguf_keys(architecture),
        "rope.scaling.original_context_length": _original_context(architecture),
    }
    if long_rope is None:
        return keys
    return {**keys, "rope.scaling.attn_factor": long_rope.attention_factor(context, context)}


def granite_swa_keys(architecture: Architecture) -> dict[str, Value]:
    """Those of `granite_swa`. Logits are divided by `logit_scale`, the others multiply."""
    mixers = [layer.mixer for layer in architecture.layers]
    optional = {
        "embedding_scale": architecture.embedding_multiplier,
        "residual_scale": architecture.residual_multiplier,
    }
    return {
        **gguf_keys(architecture),
        **{key: value for key, value in optional.items() if value != 1.0},
        "logit_scale": architecture.logits_scaling,
        "attention.scale": mixers[0].softmax_scale,
        **window_keys(architecture),
        "attention.rope_pattern": tuple(m.rope is not None for m in mixers),
    }

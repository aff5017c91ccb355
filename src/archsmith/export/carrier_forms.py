"""The entries of `config.json` and the GGUF keys that each carrier needs."""

import math
from typing import Any

from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture
from archsmith.export.carrier_rules import window_of
from archsmith.export.carrier_tensors import has_bias
from archsmith.export.carriers import Value


def _shape_config(architecture: Architecture) -> dict[str, Any]:
    mixer, feed_forward = architecture.layers[0].mixer, architecture.layers[0].feed_forward
    return {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": feed_forward.intermediate_size,
        "num_hidden_layers": architecture.num_hidden_layers,
        "num_attention_heads": mixer.num_attention_heads,
        "num_key_value_heads": mixer.num_key_value_heads,
        "max_position_embeddings": architecture.max_position_embeddings,
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "use_cache": True,
    }


def _rope_config(rope: Rope | None, *, partial: bool = False) -> dict[str, Any]:
    rope = rope or Rope()
    parameters: dict[str, Any] = {"rope_theta": rope.theta}
    if partial:
        parameters["partial_rotary_factor"] = rope.partial_rotary_factor
    # repeated at the top level, where transformers 4 and other readers look
    return {"rope_parameters": {"rope_type": "default", **parameters}, **parameters}


def llama_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of LlamaForCausalLM."""
    mixer = architecture.layers[0].mixer
    return {
        **_shape_config(architecture),
        "head_dim": mixer.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": has_bias(mixer),
        "mlp_bias": architecture.layers[0].feed_forward.bias,
        **_rope_config(mixer.rope),
    }


def qwen3_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Qwen3ForCausalLM."""
    config = llama_config(architecture)
    del config["mlp_bias"]
    return {**config, "use_sliding_window": False, "sliding_window": None}


def phi_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of PhiForCausalLM."""
    return {
        **_shape_config(architecture),
        "hidden_act": "gelu_new",
        "layer_norm_eps": architecture.final_norm.eps,
        "qk_layernorm": False,
        "attention_dropout": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        **_rope_config(architecture.layers[0].mixer.rope, partial=True),
    }


def phi3_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Phi3ForCausalLM."""
    return {
        **_shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "original_max_position_embeddings": architecture.max_position_embeddings,
        "sliding_window": None,
        "pad_token_id": None,
        **_rope_config(architecture.layers[0].mixer.rope, partial=True),
    }


def granite_swa_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of GraniteSWAForCausalLM, its multipliers neutral."""
    mixers = [layer.mixer for layer in architecture.layers]
    rope = next((m.rope for m in mixers if m.rope), None)
    return {
        **_shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": has_bias(mixers[0]),
        "mlp_bias": architecture.layers[0].feed_forward.bias,
        "attention_multiplier": 1.0 / math.sqrt(mixers[0].head_dim),
        "embedding_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
        "sliding_window": _window(architecture),
        "layer_types": [
            "sliding_attention" if window_of(architecture, m) else "full_attention" for m in mixers
        ],
        "layer_rope_theta": [m.rope.theta if m.rope else 0 for m in mixers],
        **_rope_config(rope),
    }


def starcoder2_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Starcoder2ForCausalLM."""
    return {
        **_shape_config(architecture),
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": architecture.final_norm.eps,
        "norm_type": "layer_norm",
        "use_bias": True,
        "mlp_type": "default",
        "sliding_window": None,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "residual_dropout": 0.0,
        **_rope_config(architecture.layers[0].mixer.rope),
    }


def _window(architecture: Architecture) -> int:
    """The window of the layers that have one; the context where none has."""
    windows = (window_of(architecture, layer.mixer) for layer in architecture.layers)
    return next((w for w in windows if w), architecture.max_position_embeddings)


def gguf_keys(architecture: Architecture) -> dict[str, Value]:
    """Keys that every architecture of llama.cpp reads."""
    mixer = architecture.layers[0].mixer
    rope = next((layer.mixer.rope for layer in architecture.layers if layer.mixer.rope), Rope())
    norm = architecture.final_norm
    epsilon = "layer_norm_rms_epsilon" if norm.type == "rms" else "layer_norm_epsilon"
    return {
        "vocab_size": architecture.vocab_size,
        "context_length": architecture.max_position_embeddings,
        "embedding_length": architecture.hidden_size,
        "block_count": architecture.num_hidden_layers,
        "feed_forward_length": architecture.layers[0].feed_forward.intermediate_size,
        "attention.head_count": mixer.num_attention_heads,
        "attention.head_count_kv": mixer.num_key_value_heads,
        "attention.key_length": mixer.head_dim,
        "attention.value_length": mixer.head_dim,
        f"attention.{epsilon}": norm.eps,
        "rope.dimension_count": rope.rotary_dim(mixer.head_dim),
        "rope.freq_base": rope.theta,
    }


def phi3_keys(architecture: Architecture) -> dict[str, Value]:
    """Those of `phi3`."""
    context = architecture.max_position_embeddings
    return {**gguf_keys(architecture), "rope.scaling.original_context_length": context}


def granite_swa_keys(architecture: Architecture) -> dict[str, Value]:
    """Those of `granite_swa`."""
    mixers = [layer.mixer for layer in architecture.layers]
    return {
        **gguf_keys(architecture),
        "attention.scale": 1.0 / math.sqrt(mixers[0].head_dim),
        "logit_scale": 1.0,
        "attention.sliding_window": _window(architecture),
        "attention.sliding_window_pattern": tuple(
            window_of(architecture, m) is not None for m in mixers
        ),
        "attention.rope_pattern": tuple(m.rope is not None for m in mixers),
    }

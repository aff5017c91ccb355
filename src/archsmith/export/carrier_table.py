"""The rows of the carrier table: Llama, Qwen3, Phi, Phi-3, Granite-SWA and StarCoder2 (dense).

Each row was compared in float32 between transformers and llama.cpp (the gate does it again for
every exported file). Why points are refused:
- llama.cpp's `llama` computes SiLU whatever the file says: a GELU file loads and is silently wrong.
- transformers' LlamaConfig wants heads to divide the width even where head_dim is given.
- llama.cpp switches the sliding window of `phi3` off; Granite-SWA carries windows in both. Its
  attention sinks are set so low that they take no weight.
- one `eps` and one `theta` stand in the files for the whole network.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carriers import Carrier, Value
from archsmith.export.shapes import Shapes, layer_shapes
from archsmith.export.tensors import TensorPlan, joined, renamed

_GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_NO_SINK = -1e4  # exp(-1e4) is 0 in float32, and float16 still holds the number
_QKV = tuple(f"self_attn.{name}_proj" for name in "qkv")


def window_of(architecture: Architecture, mixer: Attention) -> int | None:
    """The window that matters: one as long as the context masks nothing."""
    window = mixer.sliding_window
    if window is None or window >= architecture.max_position_embeddings:
        return None
    return window


def _blocks(kinds: Sequence[Layer]) -> list[str]:
    types = {layer.mixer.type for layer in kinds} - {"attention"}
    types |= {layer.feed_forward.type for layer in kinds} - {"gated_mlp", "mlp"}
    return [f"the block '{name}' has no carrier" for name in sorted(types)]


def _refusals(
    *,
    norm: str,
    residual: str,
    feed_forward: type,
    activation: str,
    attention: Callable[[Architecture, Sequence[Attention]], list[str]],
    varying: tuple[str, ...] = (),
    windows: bool = False,
    biases: str = "",
    head_bias: bool = False,
    tied: bool | None = None,
) -> Callable[[Architecture, Sequence[Layer]], list[str]]:
    """A function of the reasons against a carrier with these properties.

    `varying`: fields of attention that may differ between layers. `biases`: "all", "none" or "".
    """

    def reasons(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
        found = _blocks(kinds)
        if found:
            return found
        layer = kinds[0]
        if not _uniform(kinds, varying):
            found.append("per-layer widths have no uniform carrier; give every layer the same")
        if layer.norm.type != norm:
            found.append(f"norm must be '{norm}', got '{layer.norm.type}'")
        if architecture.final_norm != layer.norm:
            found.append("final_norm must equal the layers' norm: the files hold one type and eps")
        if layer.residual != residual:
            found.append(f"residual must be '{residual}', got '{layer.residual}'")
        block = layer.feed_forward
        if not isinstance(block, feed_forward):
            wanted = "gated_mlp" if feed_forward is GatedMlp else "mlp"
            found.append(f"feed_forward must be '{wanted}', got '{block.type}'")
        if block.activation != activation:
            found.append(f"activation must be '{activation}', got '{block.activation}'")
        mixer = layer.mixer
        given = {
            "qkv_bias": mixer.qkv_bias,
            "output_bias": mixer.output_bias,
            "feed_forward.bias": block.bias,
        }
        if biases:
            wrong = [name for name, value in given.items() if value != (biases == "all")]
            found += [f"{name} must be {str(biases == 'all').lower()}" for name in wrong]
        if architecture.lm_head_bias != head_bias:
            found.append(f"lm_head_bias must be {str(head_bias).lower()}")
        if tied is not None and architecture.tie_word_embeddings != tied:
            found.append(f"tie_word_embeddings must be {str(tied).lower()}")
        if not windows and any(window_of(architecture, kind.mixer) for kind in kinds):
            found.append("sliding_window is not carried")
        return found + attention(architecture, [kind.mixer for kind in kinds])

    return reasons


def _uniform(kinds: Sequence[Layer], varying: tuple[str, ...]) -> bool:
    """Whether layers differ in nothing but the `varying` fields of their mixer."""
    if len(kinds) == 1:
        return True
    drop = dict.fromkeys(varying)

    def plain(layer: Layer) -> Layer:
        return layer.model_copy(update={"mixer": layer.mixer.model_copy(update=drop)})

    first = plain(kinds[0])
    return bool(varying) and all(plain(kind) == first for kind in kinds[1:])


def _heads_divide(architecture: Architecture, mixer: Attention) -> list[str]:
    if architecture.hidden_size % mixer.num_attention_heads:
        return [
            f"num_attention_heads must divide hidden_size, got {mixer.num_attention_heads} "
            f"and {architecture.hidden_size}"
        ]
    return []


def _head_dim_follows(architecture: Architecture, mixer: Attention) -> list[str]:
    if mixer.query_size != architecture.hidden_size:
        return [
            "head_dim must be hidden_size / num_attention_heads, got "
            f"{mixer.head_dim} for {architecture.hidden_size} / {mixer.num_attention_heads}"
        ]
    return []


def _full_rope(mixer: Attention) -> list[str]:
    if mixer.rope is None:
        return ["rope is required"]
    if mixer.rope.rotary_dim(mixer.head_dim) != mixer.head_dim:
        return [f"partial_rotary_factor must be 1, got {mixer.rope.partial_rotary_factor}"]
    return []


def _partial_rope(mixer: Attention) -> list[str]:
    if mixer.rope is None:
        return ["rope is required"]
    exact = int(mixer.head_dim * mixer.rope.partial_rotary_factor)
    if exact % 2 or exact == 0:
        return [
            f"partial_rotary_factor {mixer.rope.partial_rotary_factor} rotates {exact} of "
            f"{mixer.head_dim} features; an even number is needed"
        ]
    return []


def _qk_norm(mixer: Attention, *, wanted: bool) -> list[str]:
    return [] if mixer.qk_norm == wanted else [f"qk_norm must be {str(wanted).lower()}"]


def _of_llama(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_full_rope(mixer),
        *_heads_divide(architecture, mixer),
    ]


def _of_qwen3(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    found = [*_qk_norm(mixer, wanted=True), *_full_rope(mixer)]
    if mixer.output_bias:
        found.append("output_bias must be false")
    if architecture.layers[0].feed_forward.bias:
        found.append("feed_forward.bias must be false")
    return found


def _of_phi(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_partial_rope(mixer),
        *_head_dim_follows(architecture, mixer),
    ]


def _of_starcoder2(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_full_rope(mixer),
        *_head_dim_follows(architecture, mixer),
    ]


def _of_granite_swa(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    found = [*_qk_norm(mixer, wanted=False), *_head_dim_follows(architecture, mixer)]
    ropes = {m.rope for m in mixers if m.rope is not None}
    if len(ropes) > 1:
        found.append("layers that have rope must have the same")
    if any(r.rotary_dim(mixer.head_dim) != mixer.head_dim for r in ropes):
        found.append("partial_rotary_factor must be 1")
    windows = {window_of(architecture, m) for m in mixers} - {None}
    if len(windows) > 1:
        found.append("layers that have a sliding_window must have the same")
    return found


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


def _has_bias(mixer: Attention) -> bool:
    return mixer.qkv_bias or mixer.output_bias


def _llama_config(architecture: Architecture) -> dict[str, Any]:
    mixer = architecture.layers[0].mixer
    return {
        **_shape_config(architecture),
        "head_dim": mixer.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": _has_bias(mixer),
        "mlp_bias": architecture.layers[0].feed_forward.bias,
        **_rope_config(mixer.rope),
    }


def _qwen3_config(architecture: Architecture) -> dict[str, Any]:
    config = _llama_config(architecture)
    del config["mlp_bias"]
    return {**config, "use_sliding_window": False, "sliding_window": None}


def _phi_config(architecture: Architecture) -> dict[str, Any]:
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


def _phi3_config(architecture: Architecture) -> dict[str, Any]:
    return {
        **_shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "original_max_position_embeddings": architecture.max_position_embeddings,
        "sliding_window": None,
        "pad_token_id": None,
        **_rope_config(architecture.layers[0].mixer.rope, partial=True),
    }


def _granite_swa_config(architecture: Architecture) -> dict[str, Any]:
    mixers = [layer.mixer for layer in architecture.layers]
    rope = next((m.rope for m in mixers if m.rope), None)
    return {
        **_shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_bias": _has_bias(mixers[0]),
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


def _starcoder2_config(architecture: Architecture) -> dict[str, Any]:
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


def _keys(architecture: Architecture) -> dict[str, Value]:
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


def _phi3_keys(architecture: Architecture) -> dict[str, Value]:
    context = architecture.max_position_embeddings
    return {**_keys(architecture), "rope.scaling.original_context_length": context}


def _granite_swa_keys(architecture: Architecture) -> dict[str, Value]:
    mixers = [layer.mixer for layer in architecture.layers]
    return {
        **_keys(architecture),
        "attention.scale": 1.0 / math.sqrt(mixers[0].head_dim),
        "logit_scale": 1.0,
        "attention.sliding_window": _window(architecture),
        "attention.sliding_window_pattern": tuple(
            window_of(architecture, m) is not None for m in mixers
        ),
        "attention.rope_pattern": tuple(m.rope is not None for m in mixers),
    }


def _plain_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    return renamed(layer_shapes(layer, hidden_size), _GGUF_NAMES)


def _interleaved_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    heads = {
        "self_attn.q_proj": layer.mixer.num_attention_heads,
        "self_attn.k_proj": layer.mixer.num_key_value_heads,
    }
    return renamed(layer_shapes(layer, hidden_size), _GGUF_NAMES, interleaved=heads)


def _granite_swa_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    plans = _interleaved_gguf(layer, hidden_size)
    return [*plans, _sinks("attn_sinks.weight", layer)]


def _sinks(name: str, layer: Layer) -> TensorPlan:
    return TensorPlan(name, (layer.mixer.num_attention_heads,), fill=_NO_SINK)


def _phi3_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    return _fused(
        layer_shapes(layer, hidden_size), "attn_qkv.weight", "ffn_up.weight", names=_GGUF_NAMES
    )


def _fused(shapes: Shapes, qkv: str, gate_up: str, *, names: dict[str, str]) -> list[TensorPlan]:
    qkv_parts = [f"{name}.weight" for name in _QKV]
    gate_up_parts = ["mlp.gate_proj.weight", "mlp.up_proj.weight"]
    apart = {k: v for k, v in shapes.items() if k not in qkv_parts and k not in gate_up_parts}
    return [
        *renamed(apart, names),
        joined(qkv, qkv_parts, shapes),
        joined(gate_up, gate_up_parts, shapes),
    ]


def _llama_huggingface(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Llama's names are ours; its attention has all biases or none, so missing ones are zeros."""
    shapes = layer_shapes(layer, hidden_size)
    plans = renamed(shapes, {})
    if _has_bias(layer.mixer):
        for name in (*_QKV, "self_attn.o_proj"):
            if f"{name}.bias" not in shapes:
                plans.append(TensorPlan(f"{name}.bias", shapes[f"{name}.weight"][:1]))
    return plans


def _granite_swa_huggingface(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    return [*_llama_huggingface(layer, hidden_size), _sinks("self_attn.sinks", layer)]


def _phi_huggingface(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    return renamed(layer_shapes(layer, hidden_size), {"self_attn.o_proj": "self_attn.dense"})


def _phi3_huggingface(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    shapes = layer_shapes(layer, hidden_size)
    return _fused(shapes, "self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight", names={})


def _starcoder2_huggingface(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    names = {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    return renamed(layer_shapes(layer, hidden_size), names)


_SWIGLU: dict[str, Any] = {
    "norm": "rms", "residual": "sequential", "feed_forward": GatedMlp, "activation": "silu",
}  # fmt: skip


CARRIERS: dict[str, Carrier] = {
    carrier.name: carrier
    for carrier in (
        Carrier(
            name="Llama",
            transformers_class="LlamaForCausalLM",
            model_type="llama",
            gguf_architecture="llama",
            refusals=_refusals(**_SWIGLU, attention=_of_llama),
            config=_llama_config,
            keys=_keys,
            huggingface_layer=_llama_huggingface,
            gguf_layer=_interleaved_gguf,
        ),
        Carrier(
            name="Qwen3",
            transformers_class="Qwen3ForCausalLM",
            model_type="qwen3",
            gguf_architecture="qwen3",
            refusals=_refusals(**_SWIGLU, attention=_of_qwen3),
            config=_qwen3_config,
            keys=_keys,
            huggingface_layer=_llama_huggingface,
            gguf_layer=_plain_gguf,
        ),
        Carrier(
            name="Phi",
            transformers_class="PhiForCausalLM",
            model_type="phi",
            gguf_architecture="phi2",
            refusals=_refusals(
                norm="layer",
                residual="parallel",
                feed_forward=Mlp,
                activation="gelu_tanh",
                attention=_of_phi,
                biases="all",
                head_bias=True,
                tied=False,
            ),
            config=_phi_config,
            keys=_keys,
            huggingface_layer=_phi_huggingface,
            gguf_layer=_plain_gguf,
            final_norm="model.final_layernorm",
        ),
        Carrier(
            name="Phi-3",
            transformers_class="Phi3ForCausalLM",
            model_type="phi3",
            gguf_architecture="phi3",
            refusals=_refusals(**_SWIGLU, attention=_of_phi, biases="none"),
            config=_phi3_config,
            keys=_phi3_keys,
            huggingface_layer=_phi3_huggingface,
            gguf_layer=_phi3_gguf,
        ),
        Carrier(
            name="Granite-SWA",
            transformers_class="GraniteSWAForCausalLM",
            model_type="granite_swa",
            gguf_architecture="granite_swa",
            refusals=_refusals(
                **_SWIGLU,
                attention=_of_granite_swa,
                varying=("sliding_window", "rope"),
                windows=True,
            ),
            config=_granite_swa_config,
            keys=_granite_swa_keys,
            huggingface_layer=_granite_swa_huggingface,
            gguf_layer=_granite_swa_gguf,
        ),
        Carrier(
            name="StarCoder2",
            transformers_class="Starcoder2ForCausalLM",
            model_type="starcoder2",
            gguf_architecture="starcoder2",
            refusals=_refusals(
                norm="layer",
                residual="sequential",
                feed_forward=Mlp,
                activation="gelu_tanh",
                attention=_of_starcoder2,
                biases="all",
            ),
            config=_starcoder2_config,
            keys=_keys,
            huggingface_layer=_starcoder2_huggingface,
            gguf_layer=_plain_gguf,
        ),
    )
}

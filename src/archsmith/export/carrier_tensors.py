"""The tensors of one layer in each carrier's two files, from canonical weights."""

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.shapes import Shapes, layer_shapes
from archsmith.export.tensors import TensorPlan, joined, renamed

GGUF_NAMES = {
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
QKV = tuple(f"self_attn.{name}_proj" for name in "qkv")


def plain_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Tensors one by one, rotary halves as in transformers."""
    return renamed(layer_shapes(layer, hidden_size), GGUF_NAMES)


def interleaved_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """The same with queries and keys in llama.cpp's order for `llama`."""
    heads = {
        "self_attn.q_proj": layer.mixer.num_attention_heads,
        "self_attn.k_proj": layer.mixer.num_key_value_heads,
    }
    return renamed(layer_shapes(layer, hidden_size), GGUF_NAMES, interleaved=heads)


def granite_swa_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """The same with attention sinks that take no weight."""
    plans = interleaved_gguf(layer, hidden_size)
    return [*plans, sinks("attn_sinks.weight", layer)]


def sinks(name: str, layer: Layer) -> TensorPlan:
    """Attention sinks that take no weight."""
    return TensorPlan(name, (layer.mixer.num_attention_heads,), fill=_NO_SINK)


def phi3_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Queries, keys and values in one matrix, gate and up in another."""
    return _fused(
        layer_shapes(layer, hidden_size), "attn_qkv.weight", "ffn_up.weight", names=GGUF_NAMES
    )


def _fused(shapes: Shapes, qkv: str, gate_up: str, *, names: dict[str, str]) -> list[TensorPlan]:
    qkv_parts = [f"{name}.weight" for name in QKV]
    gate_up_parts = ["mlp.gate_proj.weight", "mlp.up_proj.weight"]
    apart = {k: v for k, v in shapes.items() if k not in qkv_parts and k not in gate_up_parts}
    return [
        *renamed(apart, names),
        joined(qkv, qkv_parts, shapes),
        joined(gate_up, gate_up_parts, shapes),
    ]


def long_rope_factors(architecture: Architecture) -> list[TensorPlan]:
    """LongRoPE's divisors of the rotary frequencies, one tensor for all layers each."""
    rope = architecture.layers[0].mixer.rope
    if rope.long_rope is None:
        return []
    return [
        TensorPlan(f"rope_factors_{name}.weight", (len(factors),), values=factors)
        for name, factors in (
            ("long", rope.long_rope.long_factor),
            ("short", rope.long_rope.short_factor),
        )
    ]


def llama_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """Llama's names are ours; its attention has all biases or none, so missing ones are zeros."""
    shapes = layer_shapes(layer, architecture.hidden_size)
    return [*renamed(shapes, {}), *missing_biases(layer, shapes)]


def missing_biases(layer: Layer, shapes: Shapes) -> list[TensorPlan]:
    """Zeros for the biases of attention that a class of all or none asks for."""
    if not has_bias(layer.mixer):
        return []
    return [
        TensorPlan(f"{name}.bias", shapes[f"{name}.weight"][:1])
        for name in (*QKV, "self_attn.o_proj")
        if f"{name}.bias" not in shapes
    ]


def granite_swa_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """Llama's tensors, and sinks that take no weight."""
    return [*llama_huggingface(layer, architecture), sinks("self_attn.sinks", layer)]


def phi_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """Phi calls the output projection `dense`."""
    return renamed(
        layer_shapes(layer, architecture.hidden_size), {"self_attn.o_proj": "self_attn.dense"}
    )


def phi3_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """The two joined matrices under transformers' names."""
    shapes = layer_shapes(layer, architecture.hidden_size)
    return _fused(shapes, "self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight", names={})


def starcoder2_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """StarCoder2 calls the feed-forward matrices `c_fc` and `c_proj`."""
    names = {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    return renamed(layer_shapes(layer, architecture.hidden_size), names)


def has_bias(mixer: Attention) -> bool:
    """Whether any projection of the attention has a bias."""
    return mixer.qkv_bias or mixer.output_bias

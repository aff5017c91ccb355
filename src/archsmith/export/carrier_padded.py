"""Rows for dense networks whose layers have widths of their own.

llama.cpp has two architectures that read heads, key-value heads and feed-forward width layer by
layer: `deci` (Llama-like) and `openelm` (with normalized queries and keys). transformers has none,
so its file holds a uniform Llama or Qwen3 with zeros where a layer is narrower. That is exact: a
zero column of the output projection silences whatever an added head computes, zero rows of gate and
up add nothing to the feed-forward, and key-value heads are repeated as grouped attention does.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_attention import full_rope, qk_norm
from archsmith.export.carrier_forms import gguf_keys, llama_config, qwen3_config
from archsmith.export.carrier_rules import refusals
from archsmith.export.carrier_tensors import (
    GGUF_NAMES,
    QKV,
    interleaved_gguf,
    llama_huggingface,
)
from archsmith.export.carriers import Carrier, GgufForm, HuggingFaceForm
from archsmith.export.shapes import layer_shapes
from archsmith.export.tensors import Stretch, TensorPlan, joined, renamed

_ROW: dict[str, Any] = {
    "norm": "rms",
    "residual": "sequential",
    "feed_forward": "gated_mlp",
    "varying": ("num_attention_heads", "num_key_value_heads"),
    "varying_block": ("intermediate_size",),
}


class Frame(NamedTuple):
    """The uniform widths that every layer fits in."""

    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int


@lru_cache(maxsize=256)
def frame_of(architecture: Architecture, *, heads_divide_width: bool) -> Frame | None:
    """The narrowest frame; None if transformers' LlamaConfig allows none.

    Every layer's key-value heads divide the frame's, so that each is repeated as often as others.
    """
    mixers = [layer.mixer for layer in architecture.layers]
    key_values = math.lcm(*(mixer.num_key_value_heads for mixer in mixers))
    widest = max(mixer.num_attention_heads for mixer in mixers)
    heads = -(-widest // key_values) * key_values
    if heads_divide_width:
        while heads <= architecture.hidden_size and architecture.hidden_size % heads:
            heads += key_values
        if heads > architecture.hidden_size:
            return None
    inner = max(layer.feed_forward.intermediate_size for layer in architecture.layers)
    return Frame(heads, key_values, inner)


def in_frame(layer: Layer, plans: Sequence[TensorPlan], frame: Frame) -> list[TensorPlan]:
    """A Llama's tensors of one layer, made as wide as the frame."""
    mixer = layer.mixer
    groups = mixer.num_key_value_heads
    queries = frame.num_attention_heads * mixer.head_dim
    keys = frame.num_key_value_heads * mixer.head_dim
    inner = frame.intermediate_size
    rows = {
        "self_attn.q_proj": Stretch(0, groups, queries),
        "self_attn.k_proj": Stretch(0, groups, keys, by="copies"),
        "self_attn.v_proj": Stretch(0, groups, keys, by="copies"),
        "mlp.gate_proj": Stretch(0, 1, inner),
        "mlp.up_proj": Stretch(0, 1, inner),
    }
    columns = {
        "self_attn.o_proj.weight": Stretch(1, groups, queries),
        "mlp.down_proj.weight": Stretch(1, 1, inner),
    }
    found = []
    for plan in plans:
        stretch = rows.get(plan.name.rpartition(".")[0]) or columns.get(plan.name)
        found.append(plan.stretched(stretch) if stretch else plan)
    return found


def _layer(*, heads_divide_width: bool) -> Callable[[Layer, Architecture], list[TensorPlan]]:
    def plans(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
        frame = frame_of(architecture, heads_divide_width=heads_divide_width)
        assert frame is not None, "the row refuses such architectures"
        return in_frame(layer, llama_huggingface(layer, architecture), frame)

    return plans


def _config(
    plain: Callable[[Architecture], dict[str, Any]], *, heads_divide_width: bool
) -> Callable[[Architecture], dict[str, Any]]:
    def config(architecture: Architecture) -> dict[str, Any]:
        frame = frame_of(architecture, heads_divide_width=heads_divide_width)
        assert frame is not None, "the row refuses such architectures"
        return {**plain(architecture), **frame._asdict()}

    return config


def openelm_gguf(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Tensors of `openelm`: queries, keys and values in one matrix."""
    shapes = layer_shapes(layer, hidden_size)
    parts = [f"{name}.weight" for name in QKV]
    apart = {name: shape for name, shape in shapes.items() if name not in parts}
    return [*renamed(apart, GGUF_NAMES), joined("attn_qkv.weight", parts, shapes)]


def _of_llama(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    return [*qk_norm(mixers[0], wanted=False), *full_rope(mixers[0])]


def _of_qwen3(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    return [*qk_norm(mixers[0], wanted=True), *full_rope(mixers[0])]


def _has_frame(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    if frame_of(architecture, heads_divide_width=True) is None:
        heads = sorted({kind.mixer.num_attention_heads for kind in kinds})
        key_values = sorted({kind.mixer.num_key_value_heads for kind in kinds})
        return [
            f"num_attention_heads {heads} and num_key_value_heads {key_values} must have a number "
            "of heads in common that all of the latter and that itself divides hidden_size "
            f"{architecture.hidden_size}"
        ]
    return []


def _tied(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    if architecture.tie_word_embeddings:
        return []
    return ["tie_word_embeddings must be true in llama.cpp, whose openelm has no other head"]


ROWS = (
    Carrier(
        name="Padded Llama",
        refusals=refusals(**_ROW, attention=_of_llama),
        huggingface=HuggingFaceForm(
            transformers_class="LlamaForCausalLM",
            model_type="llama",
            config=_config(llama_config, heads_divide_width=True),
            layer=_layer(heads_divide_width=True),
            refusals=_has_frame,
        ),
        gguf=GgufForm("deci", keys=gguf_keys, layer=interleaved_gguf),
    ),
    Carrier(
        name="Padded Qwen3",
        refusals=refusals(**_ROW, attention=_of_qwen3, biases="none"),
        huggingface=HuggingFaceForm(
            transformers_class="Qwen3ForCausalLM",
            model_type="qwen3",
            config=_config(qwen3_config, heads_divide_width=False),
            layer=_layer(heads_divide_width=False),
        ),
        gguf=GgufForm("openelm", keys=gguf_keys, layer=openelm_gguf, refusals=_tied),
    ),
)

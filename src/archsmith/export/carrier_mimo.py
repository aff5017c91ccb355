"""The row of MiMo-V2-Flash: windows and experts in any layer, with a sigmoid router.

Its class gives layers with a window twice the key-value heads of the others; the file for
transformers therefore repeats the heads of one kind where ours have other numbers, which grouped
attention does anyway. llama.cpp's `mimo2` reads key-value heads layer by layer, but no bias.
"""

from collections.abc import Sequence
from typing import Any

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_attention import one_window, partial_rope, qk_norm
from archsmith.export.carrier_expert_forms import huggingface_experts, plain_experts
from archsmith.export.carrier_forms import gguf_keys, shape_config, window_keys, window_or_context
from archsmith.export.carrier_rules import (
    not_carried,
    unknown_blocks,
    window_of,
    wrong_biases,
    wrong_frame,
)
from archsmith.export.carrier_tensors import sinks
from archsmith.export.carriers import Carrier, GgufForm, HuggingFaceForm, Value
from archsmith.export.tensors import Stretch, TensorPlan

_NO_EXPERTS = MixtureOfExperts(num_experts=2, num_experts_per_tok=1, moe_intermediate_size=32)


def _windowed(architecture: Architecture, layer: Layer) -> bool:
    return window_of(architecture, layer.mixer) is not None


def _experts(architecture: Architecture) -> MixtureOfExperts | None:
    blocks = (layer.feed_forward for layer in architecture.layers)
    return next((block for block in blocks if isinstance(block, MixtureOfExperts)), None)


def _dense_size(architecture: Architecture) -> int | None:
    blocks = (layer.feed_forward for layer in architecture.layers)
    return next((block.intermediate_size for block in blocks if isinstance(block, GatedMlp)), None)


def key_value_heads(architecture: Architecture) -> int | None:
    """The class's `num_key_value_heads`: that of layers without a window, half that of the others.

    The least that every layer's own number divides; None if there is none.
    """
    heads = architecture.layers[0].mixer.num_attention_heads
    wanted = [
        (layer.mixer.num_key_value_heads, 2 if _windowed(architecture, layer) else 1)
        for layer in dict.fromkeys(architecture.layers)
    ]
    for base in range(1, heads + 1):
        if all(base * times % own == 0 and heads % (base * times) == 0 for own, times in wanted):
            return base
    return None


def _thetas(architecture: Architecture) -> tuple[float, float]:
    """Rotary base of layers without a window and with one; either where the other is missing."""
    found: dict[bool, float] = {}
    for layer in architecture.layers:
        found.setdefault(_windowed(architecture, layer), layer.mixer.rope.theta)
    some = next(iter(found.values()))
    return found.get(False, some), found.get(True, some)


def refuse(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    """Why an architecture does not fit."""
    found = unknown_blocks(kinds)
    if found:
        return found
    experts = any(isinstance(layer.feed_forward, MixtureOfExperts) for layer in kinds)
    if not experts and not any(_windowed(architecture, layer) for layer in kinds):
        found.append("a window or experts must be there; without, plainer carriers serve")
    found += wrong_frame(architecture, kinds[0], norm="rms", residual="sequential")
    if architecture.lm_head_bias:
        found.append("lm_head_bias must be false")
    found += wrong_biases(kinds[0], False) + not_carried(architecture, kinds, frozenset())
    found += _wrong_attention(architecture, kinds) + _wrong_blocks(kinds)
    shared = {"mixer": kinds[0].mixer, "feed_forward": kinds[0].feed_forward}
    if len({layer.model_copy(update=shared) for layer in kinds}) > 1:
        found.append("layers must be alike in norm and residual")
    return found


def _wrong_attention(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    mixers = [layer.mixer for layer in kinds]
    varying = dict.fromkeys(("num_key_value_heads", "sliding_window", "rope"))
    found = [*qk_norm(mixers[0], wanted=False), *one_window(architecture, mixers)]
    if len({mixer.model_copy(update=varying) for mixer in mixers}) > 1:
        found.append("attention may differ only in num_key_value_heads, sliding_window and theta")
    for mixer in mixers:
        found += partial_rope(mixer)
    if found:
        return list(dict.fromkeys(found))
    if len({mixer.rope.partial_rotary_factor for mixer in mixers}) > 1:
        found.append("layers must have the same partial_rotary_factor")
    thetas = {(_windowed(architecture, layer), layer.mixer.rope.theta) for layer in kinds}
    if len(thetas) > len({windowed for windowed, _ in thetas}):
        found.append("layers with a window must have one theta, layers without one another")
    return found


def _wrong_blocks(kinds: Sequence[Layer]) -> list[str]:
    blocks = {layer.feed_forward for layer in kinds}
    experts = [block for block in blocks if isinstance(block, MixtureOfExperts)]
    dense = [block for block in blocks if not isinstance(block, MixtureOfExperts)]
    found = []
    if len(dense) > 1 or len(experts) > 1:
        found.append("layers with experts must be alike, and so must those without")
    for block in dense[:1]:
        if block.type != "gated_mlp":
            found.append(f"a dense feed_forward must be 'gated_mlp', got '{block.type}'")
        if block.activation != "silu":
            found.append(f"activation must be 'silu', got '{block.activation}'")
        if block.bias:
            found.append("feed_forward.bias must be false")
    for block in experts:
        if block.router != "sigmoid" or not block.norm_topk_prob:
            found.append("router must be 'sigmoid' and norm_topk_prob true")
        if block.shared_expert_intermediate_size is not None:
            found.append("a shared expert must be absent")
        if block.num_experts < 2:
            found.append("num_experts must be at least 2")
    return found


def _repeatable(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    if key_value_heads(architecture) is None:
        return [
            "transformers doubles the key-value heads of layers with a window: twice the number "
            "of the others must divide num_attention_heads "
            f"{kinds[0].mixer.num_attention_heads}"
        ]
    return []


def _untied(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    return (
        ["tie_word_embeddings must be false in llama.cpp"]
        if architecture.tie_word_embeddings
        else []
    )


def mimo_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of MiMoV2FlashForCausalLM."""
    mixer = architecture.layers[0].mixer
    experts = _experts(architecture) or _NO_EXPERTS
    full, windowed = _thetas(architecture)
    rope = {"rope_type": "default", "partial_rotary_factor": mixer.rope.partial_rotary_factor}
    return {
        **shape_config(architecture),
        "num_key_value_heads": key_value_heads(architecture),
        "intermediate_size": _dense_size(architecture) or experts.moe_intermediate_size,
        "moe_intermediate_size": experts.moe_intermediate_size,
        "n_routed_experts": experts.num_experts,
        "num_experts_per_tok": experts.num_experts_per_tok,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "n_group": 1,
        "topk_group": 1,
        "head_dim": mixer.head_dim,
        "v_head_dim": mixer.head_dim,
        "attention_value_scale": 1.0,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "sliding_window": window_or_context(architecture),
        "layer_types": [
            "sliding_attention" if _windowed(architecture, layer) else "full_attention"
            for layer in architecture.layers
        ],
        "mlp_layer_types": [
            "sparse" if isinstance(layer.feed_forward, MixtureOfExperts) else "dense"
            for layer in architecture.layers
        ],
        "rope_parameters": {
            "full_attention": {**rope, "rope_theta": full},
            "sliding_attention": {**rope, "rope_theta": windowed},
        },
        "output_router_logits": False,
    }


def mimo2_keys(architecture: Architecture) -> dict[str, Value]:
    """Keys of `mimo2`. It reads one dense width for all layers."""
    experts = _experts(architecture)
    full, windowed = _thetas(architecture)
    inner = (experts or _NO_EXPERTS).moe_intermediate_size
    return {
        **gguf_keys(architecture),
        "feed_forward_length": _dense_size(architecture) or inner,
        "expert_count": experts.num_experts if experts else 0,
        "expert_used_count": experts.num_experts_per_tok if experts else 0,
        "expert_feed_forward_length": inner,
        **window_keys(architecture),
        "rope.freq_base": full,
        "rope.freq_base_swa": windowed,
    }


_plain_layer = huggingface_experts()


def mimo_huggingface(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
    """Our tensors; key-value heads repeated; sinks that take no weight where there is a window."""
    windowed = _windowed(architecture, layer)
    base = key_value_heads(architecture)
    assert base is not None, "the row refuses such architectures"
    mixer = layer.mixer
    longer = Stretch(
        axis=0,
        groups=mixer.num_key_value_heads,
        size=base * (2 if windowed else 1) * mixer.head_dim,
        by="copies",
    )
    plans = [
        plan.stretched(longer) if plan.name.startswith(("self_attn.k_", "self_attn.v_")) else plan
        for plan in _plain_layer(layer, architecture)
    ]
    return [*plans, sinks("self_attn.attention_sink_bias", layer)] if windowed else plans


ROWS = (
    Carrier(
        name="MiMo-V2-Flash",
        refusals=refuse,
        huggingface=HuggingFaceForm(
            transformers_class="MiMoV2FlashForCausalLM",
            model_type="mimo_v2_flash",
            config=mimo_config,
            layer=mimo_huggingface,
            refusals=_repeatable,
        ),
        gguf=GgufForm("mimo2", keys=mimo2_keys, layer=plain_experts, refusals=_untied),
        feed_forwards=frozenset({"gated_mlp", "mixture_of_experts"}),
    ),
)

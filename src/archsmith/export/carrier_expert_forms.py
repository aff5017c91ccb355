"""Files of networks with experts: entries of `config.json`, GGUF keys, tensors.

transformers keeps an expert's matrices as tensors of their own in the file and stacks them on
loading; llama.cpp keeps them stacked, as the canonical weights are. F: width of an expert, D: of
the network.
"""

from collections.abc import Callable, Sequence
from typing import Any

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_forms import gguf_keys, rope_config, shape_config
from archsmith.export.carrier_tensors import (
    has_bias,
    interleaved_gguf,
    missing_biases,
    plain_gguf,
)
from archsmith.export.carriers import Value
from archsmith.export.shapes import layer_shapes
from archsmith.export.tensors import TensorPlan, renamed

_MATRICES = ("gate_proj", "up_proj", "down_proj")
MIXTRAL_MATRICES = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def experts_config(architecture: Architecture) -> dict[str, Any]:
    """Entries about experts under Qwen's names."""
    block = architecture.layers[0].feed_forward
    return {
        "moe_intermediate_size": block.moe_intermediate_size,
        "num_experts": block.num_experts,
        "num_experts_per_tok": block.num_experts_per_tok,
        "norm_topk_prob": block.norm_topk_prob,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "output_router_logits": False,
    }


def _common_config(architecture: Architecture) -> dict[str, Any]:
    return {
        **shape_config(architecture),
        "hidden_act": "silu",
        "rms_norm_eps": architecture.final_norm.eps,
        "attention_dropout": 0.0,
        **rope_config(
            architecture.layers[0].mixer.rope, context=architecture.max_position_embeddings
        ),
    }


def mixtral_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of MixtralForCausalLM."""
    block = architecture.layers[0].feed_forward
    return {
        **_common_config(architecture),
        "head_dim": architecture.layers[0].mixer.head_dim,
        "num_local_experts": block.num_experts,
        "num_experts_per_tok": block.num_experts_per_tok,
        "router_jitter_noise": 0.0,
        "sliding_window": None,
        "output_router_logits": False,
    }


def qwen3_moe_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Qwen3MoeForCausalLM."""
    return {
        **_common_config(architecture),
        **experts_config(architecture),
        "head_dim": architecture.layers[0].mixer.head_dim,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
    }


def qwen2_moe_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of Qwen2MoeForCausalLM."""
    layer = architecture.layers[0]
    return {
        **_common_config(architecture),
        **experts_config(architecture),
        "qkv_bias": layer.mixer.qkv_bias,
        "shared_expert_intermediate_size": layer.feed_forward.shared_expert_intermediate_size,
        "use_sliding_window": False,
        "sliding_window": None,
        "layer_types": ["full_attention"] * architecture.num_hidden_layers,
    }


def olmoe_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of OlmoeForCausalLM."""
    block = architecture.layers[0].feed_forward
    return {
        **_common_config(architecture),
        "num_experts": block.num_experts,
        "num_experts_per_tok": block.num_experts_per_tok,
        "norm_topk_prob": block.norm_topk_prob,
        "attention_bias": False,
        "clip_qkv": None,
        "pad_token_id": None,
        "output_router_logits": False,
    }


def phimoe_config(architecture: Architecture) -> dict[str, Any]:
    """`config.json` of PhimoeForCausalLM."""
    layer = architecture.layers[0]
    config = {
        **_common_config(architecture),
        "num_local_experts": layer.feed_forward.num_experts,
        "num_experts_per_tok": layer.feed_forward.num_experts_per_tok,
        "router_jitter_noise": layer.feed_forward.router_jitter_noise,
        "input_jitter_noise": 0.0,
        "attention_bias": has_bias(layer.mixer),
        "lm_head_bias": architecture.lm_head_bias,
        "sliding_window": None,
        "output_router_logits": False,
    }
    long_rope = layer.mixer.rope.long_rope
    if long_rope is not None:
        context = architecture.max_position_embeddings
        original = long_rope.original_max_position_embeddings
        config["original_max_position_embeddings"] = original
        config["rope_parameters"]["short_mscale"] = long_rope.attention_factor(original, context)
        config["rope_parameters"]["long_mscale"] = long_rope.attention_factor(original + 1, context)
    return config


def experts_keys(architecture: Architecture) -> dict[str, Value]:
    """Keys of the expert architectures; `feed_forward_length` is an expert's width."""
    block = next(
        layer.feed_forward
        for layer in architecture.layers
        if isinstance(layer.feed_forward, MixtureOfExperts)
    )
    keys = {
        **gguf_keys(architecture),
        "expert_count": block.num_experts,
        "expert_used_count": block.num_experts_per_tok,
        "expert_feed_forward_length": block.moe_intermediate_size,
    }
    if block.shared_expert_intermediate_size is not None:
        keys["expert_shared_feed_forward_length"] = block.shared_expert_intermediate_size
    return keys


def huggingface_experts(
    *, block: str = "mlp", matrices: dict[str, str] | None = None, all_biases: bool = False
) -> Callable[[Layer, Architecture], list[TensorPlan]]:
    """Each expert's matrices by themselves, [F, D] or [D, F].

    Args:
        block: what the class's files call the feed-forward.
        matrices: what they call an expert's matrices.
        all_biases: whether attention with some bias has all of them there.
    """
    names = matrices or {}

    def plans(layer: Layer, architecture: Architecture) -> list[TensorPlan]:
        shapes = layer_shapes(layer, architecture.hidden_size)
        stacked = [f"mlp.experts.{matrix}" for matrix in _MATRICES]
        alone = {name: shape for name, shape in shapes.items() if name not in stacked}
        found = renamed(alone, {"mlp.gate": f"{block}.gate"})
        if all_biases:
            found += missing_biases(layer, shapes)
        for expert in range(getattr(layer.feed_forward, "num_experts", 0)):
            for matrix, part in zip(_MATRICES, stacked, strict=True):
                name = f"{block}.experts.{expert}.{names.get(matrix, matrix)}.weight"
                found.append(TensorPlan(name, shapes[part][1:], (part,), expert=expert))
        return found

    return plans


_STACKED = {
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.experts.gate_proj": "ffn_gate_exps.weight",
    "mlp.experts.up_proj": "ffn_up_exps.weight",
    "mlp.experts.down_proj": "ffn_down_exps.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
}


def gguf_experts(plans: Sequence[TensorPlan]) -> list[TensorPlan]:
    """Plans of a layer with the tensors of experts under llama.cpp's names."""
    found = []
    for plan in plans:
        name = _STACKED.get(plan.parts[0], plan.name)
        # llama.cpp keeps a gate of one output as a vector
        shape = plan.shape[1:] if name == "ffn_gate_inp_shexp.weight" else plan.shape
        found.append(plan._replace(name=name, shape=shape))
    return found


def interleaved_experts(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Tensors of `llama` with experts."""
    return gguf_experts(interleaved_gguf(layer, hidden_size))


def plain_experts(layer: Layer, hidden_size: int) -> list[TensorPlan]:
    """Tensors of the other architectures with experts."""
    return gguf_experts(plain_gguf(layer, hidden_size))

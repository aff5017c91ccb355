"""Tiny models of transformers' own classes, with odd sizes and weights that all matter."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CONTEXT = 64
SWITCH = 16  # LongRoPE: original_max_position_embeddings


class Stock(NamedTuple):
    """A class by the start of its name, and what its config says beside the common sizes.

    `factors`: settings that reading multiplies into weights, by name in the layer.
    """

    name: str
    config: dict[str, Any]
    prepare: Callable[[Any], None] = lambda model: None
    factors: Mapping[str, float] = {}


SIZES = {
    "vocab_size": 61,
    "hidden_size": 36,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
WIDE_HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
QWEN_EXPERTS = {
    "moe_intermediate_size": 20,
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
}


def longrope(pairs: int, **fields: Any) -> dict[str, Any]:
    """Different short and long factors for so many rotated pairs."""
    return {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "original_max_position_embeddings": SWITCH,
        "short_factor": [1.0 + 0.1 * pair for pair in range(pairs)],
        "long_factor": [1.5 + 0.7 * pair for pair in range(pairs)],
        **fields,
    }


def sinks_off(model: Any) -> None:
    """Attention sinks take no weight, as in files that archsmith writes."""
    for name, parameter in model.named_parameters():
        if name.endswith("sinks"):
            parameter.data.fill_(-1e4)


SAME_FACTORS = [1.0 + 0.2 * pair for pair in range(6)]

FAMILIES: dict[str, Stock] = {
    "phi": Stock("Phi", {"num_key_value_heads": 3, "partial_rotary_factor": 0.5}),
    "phi grouped": Stock("Phi", {"partial_rotary_factor": 0.34, "hidden_act": "relu2"}),
    "phi3": Stock("Phi3", {"num_key_value_heads": 3, "sliding_window": 7}),
    "phi3 partial": Stock(
        "Phi3",
        {
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 500.0,
                "partial_rotary_factor": 0.67,
            }
        },
    ),
    "phi3 longrope": Stock(
        "Phi3",
        {
            "rope_parameters": longrope(4, partial_rotary_factor=0.67),
            "original_max_position_embeddings": SWITCH,
            "tie_word_embeddings": True,
        },
    ),
    "phi3 longrope with a factor": Stock(
        "Phi3",
        {
            "rope_parameters": longrope(6, factor=9.0),
            "original_max_position_embeddings": SWITCH,
        },
    ),
    "phi3 longrope with an attention factor": Stock(
        "Phi3",
        {
            "rope_parameters": longrope(6, attention_factor=0.8),
            "original_max_position_embeddings": SWITCH,
        },
    ),
    "phimoe": Stock(
        "Phimoe",
        {"num_local_experts": 5, "router_jitter_noise": 0.3, "sliding_window": 9},
    ),
    "phimoe longrope": Stock(
        "Phimoe",
        {
            "num_local_experts": 4,
            "attention_bias": True,
            "lm_head_bias": True,
            # the stock class never takes the long factors, so both are the same here
            "rope_parameters": longrope(
                6,
                short_factor=SAME_FACTORS,
                long_factor=SAME_FACTORS,
                short_mscale=1.1,
                long_mscale=1.3,
            ),
        },
    ),
    "llama": Stock(
        "Llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
    ),
    "llama 3.2": Stock(
        "Llama",
        {
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "llama linear": Stock(
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}},
    ),
    "mistral": Stock("Mistral", {"sliding_window": 5}),
    "qwen2": Stock(
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": Stock(
        "Qwen3",
        {
            **WIDE_HEADS,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "qwen2_moe": Stock(
        "Qwen2Moe",
        {
            **QWEN_EXPERTS,
            "num_hidden_layers": 3,
            "shared_expert_intermediate_size": 28,
            "mlp_only_layers": [1],
            "norm_topk_prob": False,
        },
    ),
    "qwen3_moe": Stock(
        "Qwen3Moe", {**WIDE_HEADS, **QWEN_EXPERTS, "num_experts_per_tok": 3, "norm_topk_prob": True}
    ),
    "qwen3_moe plain": Stock(
        "Qwen3Moe", {**WIDE_HEADS, **QWEN_EXPERTS, "norm_topk_prob": False, "attention_bias": True}
    ),
    "olmoe": Stock("Olmoe", {"num_experts": 6, "num_experts_per_tok": 3}),
    "mixtral": Stock("Mixtral", {"num_local_experts": 4, "sliding_window": 8}),
    "granite": Stock(
        "Granite",
        {
            "attention_multiplier": 0.2,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.6,
            "logits_scaling": 2.5,
        },
    ),
    "granite_swa": Stock(
        "GraniteSWA",
        {
            "num_hidden_layers": 3,
            "attention_multiplier": 12**-0.5,
            "residual_multiplier": 0.7,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "layer_rope_theta": [100.0, 0, 10_000.0],
        },
        sinks_off,
    ),
    "starcoder2": Stock("Starcoder2", {"sliding_window": 10}),
    "mimo_v2_flash": Stock(
        "MiMoV2Flash",
        {
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "v_head_dim": 12,
            "moe_intermediate_size": 20,
            "n_routed_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 6,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
            "mlp_layer_types": ["dense", "sparse", "sparse"],
            "attention_value_scale": 0.5,
            "routed_scaling_factor": 2.0,
            "rope_parameters": {
                kind: {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": 0.5}
                for kind, theta in (("full_attention", 1e4), ("sliding_attention", 100.0))
            },
        },
        sinks_off,
        {"self_attn.v_proj.weight": 0.5, "mlp.experts.down_proj": 2.0},
    ),
}


def build_stock(stock: Stock, *, seed: int = 0, **changes: Any) -> Any:
    """The class with random weights, in evaluation mode."""
    import torch
    import transformers

    config = getattr(transformers, f"{stock.name}Config")(**{**SIZES, **stock.config, **changes})
    model = getattr(transformers, f"{stock.name}ForCausalLM")(config).eval()
    generator = torch.Generator().manual_seed(seed)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in state.items():
        if "inv_freq" in name:
            continue
        draw = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() > 1:
            scale = 0.5 if "embed" in name else 1.5 / math.sqrt(tensor.shape[-1])
            tensor.data.copy_(draw * scale)
        else:
            tensor.data.copy_(draw * 0.2 + (1.0 if name.endswith("norm.weight") else 0.0))
    stock.prepare(model)
    return model

"""Numbers a surrogate can learn from: sizes by logarithm, shares and ratios as they are."""

import math
from collections.abc import Callable

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.tree import Architecture

# Bits per weight of a block, without the tensors llama.cpp keeps at more bits.
_BITS = {
    "F32": 32.0, "F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.5625,
    "Q5_K_M": 5.5, "Q4_K_M": 4.5, "Q4_0": 4.5,
}  # fmt: skip


def features(architecture: Architecture) -> dict[str, float]:
    """About thirty numbers, by name; the names are the same for every architecture."""
    first = architecture.layers[0]
    mixer, feed_forward = first.mixer, first.feed_forward
    attention = mixer if isinstance(mixer, Attention) else None
    hidden_size = architecture.hidden_size
    flops = architecture.flops_per_token()
    experts = feed_forward if isinstance(feed_forward, MixtureOfExperts) else None
    # of what the law of size counts: without embeddings
    total = architecture.num_non_embedding_params
    active = total - (architecture.num_params - architecture.num_active_params)
    width = getattr(feed_forward, "intermediate_size", hidden_size)
    if experts is not None:
        width = experts.active_intermediate_size
    return {
        "log_num_params": math.log(architecture.num_params),
        "log_num_non_embedding_params": math.log(architecture.num_non_embedding_params),
        "log_hidden_size": math.log(hidden_size),
        "log_num_hidden_layers": math.log(architecture.num_hidden_layers),
        "log_width_depth_ratio": math.log(architecture.width_depth_ratio),
        "log_intermediate_ratio": math.log(width / hidden_size),
        "log_vocab_size": math.log(architecture.vocab_size),
        "log_context_length": math.log(architecture.max_position_embeddings),
        "log_flops_per_token": math.log(flops),
        "log_cache_bytes": math.log(max(architecture.cache_bytes(), 1)),
        "embedding_share": architecture.num_embedding_params / architecture.num_params,
        "log_bits_per_weight": math.log(_BITS[architecture.quantization]),
        "is_k_quant": float("_K" in architecture.quantization),
        "is_tied": float(architecture.tie_word_embeddings),
        "is_parallel": float(first.residual == "parallel"),
        "is_layer_norm": float(first.norm.type == "layer"),
        "is_gated": float(feed_forward.type != "mlp"),
        "is_qk_norm": float(attention is not None and attention.qk_norm),
        "log_head_dim": math.log(attention.head_dim) if attention else 0.0,
        "log_heads_per_kv_head": (
            math.log(attention.num_attention_heads / attention.num_key_value_heads)
            if attention
            else 0.0
        ),
        "partial_rotary_factor": (
            attention.rope.partial_rotary_factor if attention and attention.rope else 0.0
        ),
        "log_rope_theta": math.log(attention.rope.theta) if attention and attention.rope else 0.0,
        "log_active_share": math.log(active / total),
        "log_num_experts": math.log(experts.num_experts) if experts else 0.0,
        # of one token: how finely its feed-forward block is cut
        "log_granularity": math.log(width / experts.moe_intermediate_size) if experts else 0.0,
        "is_shared_expert": float(bool(experts and experts.shared_expert_intermediate_size)),
        "seen_share": _seen_share(architecture),
        "nope_share": _share(architecture, lambda mixer: getattr(mixer, "rope", ...) is None),
    }


def _seen_share(architecture: Architecture) -> float:
    """Pairs of positions that attend to each other, as a share of those of full attention."""
    context = architecture.max_position_embeddings
    seen, full = 0, 0.0
    for layer in architecture.layers:
        width = getattr(layer.mixer, "query_size", 0)
        seen += layer.mixer.mixing_flops(context)
        full += 4 * width * ((context + 1) / 2)
    return min(1.0, seen / full) if full else 0.0


def _share(architecture: Architecture, holds: Callable[[Mixer], bool]) -> float:
    return sum(holds(layer.mixer) for layer in architecture.layers) / len(architecture.layers)

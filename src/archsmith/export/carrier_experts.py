"""Rows for Mixture-of-Experts: Mixtral, Qwen3-MoE, Qwen2-MoE, OLMoE; PhiMoE for one target only.

Whether the weights of the chosen experts are divided by their sum is a setting in transformers and
fixed by architecture in llama.cpp.
"""

from collections.abc import Callable, Sequence
from typing import Any

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_attention import full_rope, head_dim_follows, qk_norm, switch_of
from archsmith.export.carrier_expert_forms import (
    MIXTRAL_MATRICES,
    experts_keys,
    huggingface_experts,
    interleaved_experts,
    mixtral_config,
    olmoe_config,
    phimoe_config,
    plain_experts,
    qwen2_moe_config,
    qwen3_moe_config,
)
from archsmith.export.carrier_rules import refusals
from archsmith.export.carriers import Carrier, GgufForm, HuggingFaceForm, Refusals

_EXPERTS: dict[str, Any] = {
    "norm": "rms", "residual": "sequential", "feed_forward": "mixture_of_experts",
}  # fmt: skip
_EXPERTS_ONLY = frozenset({"mixture_of_experts"})


def _router(
    *, router: str = "softmax", normalized: bool | None = None, shared: bool = False
) -> Callable[[MixtureOfExperts], list[str]]:
    def reasons(block: MixtureOfExperts) -> list[str]:
        found = []
        if block.router != router:
            found.append(f"router must be '{router}', got '{block.router}'")
        if normalized is not None and block.norm_topk_prob != normalized:
            found.append(f"norm_topk_prob must be {str(normalized).lower()}")
        if (block.shared_expert_intermediate_size is not None) != shared:
            found.append(f"a shared expert must be {'present' if shared else 'absent'}")
        elif block.shared_expert_gate != shared:
            found.append("the shared expert must have a gate")
        return found

    return reasons


def _fixed(*, normalized: bool, tied: bool | None = None) -> Refusals:
    """What llama.cpp fixes by architecture."""

    def reasons(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
        found = []
        if kinds[0].feed_forward.norm_topk_prob != normalized:
            found.append(f"norm_topk_prob must be {str(normalized).lower()} in llama.cpp")
        if tied is not None and architecture.tie_word_embeddings != tied:
            found.append(f"tie_word_embeddings must be {str(tied).lower()} in llama.cpp")
        return found

    return reasons


def _of_mixtral(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    return [*qk_norm(mixers[0], wanted=False), *full_rope(mixers[0])]


def _of_qwen3_moe(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    return [*qk_norm(mixers[0], wanted=True), *full_rope(mixers[0])]


def _of_qwen2_moe(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    found = [*qk_norm(mixer, wanted=False), *full_rope(mixer)]
    if mixer.output_bias:
        found.append("output_bias must be false")
    return found + head_dim_follows(architecture, mixer)


def _of_olmoe(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    found = [*qk_norm(mixer, wanted=True), *full_rope(mixer)]
    if mixer.qk_norm and mixer.qk_norm_over != "all_heads":
        found.append(f"qk_norm_over must be 'all_heads', got '{mixer.qk_norm_over}'")
    return found + head_dim_follows(architecture, mixer)


def _of_phimoe(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    mixer = mixers[0]
    return [
        *qk_norm(mixer, wanted=False),
        *full_rope(mixer),
        *head_dim_follows(architecture, mixer),
    ]


def _olmoe_in_llamacpp(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    found = _fixed(normalized=False, tied=False)(architecture, kinds)
    mixer = kinds[0].mixer
    if mixer.num_key_value_heads != mixer.num_attention_heads:
        found.append("num_key_value_heads must equal num_attention_heads in llama.cpp")
    return found


def _phimoe_longest_text(architecture: Architecture) -> int:
    """Up to where transformers' class, which never uses long_factor, computes the network."""
    context = architecture.max_position_embeddings
    return min(switch_of(architecture) or context, context)


def _phimoe_limits(architecture: Architecture) -> list[str]:
    longest = _phimoe_longest_text(architecture)
    if longest == architecture.max_position_embeddings:
        return []
    return [
        "transformers' PhimoeForCausalLM rotates by short_factor whatever the length of the text: "
        f"it computes this network for texts of at most {longest} tokens"
    ]


ROWS = (
    Carrier(
        name="Mixtral",
        refusals=refusals(
            **_EXPERTS, attention=_of_mixtral, biases="none", block=_router(normalized=True)
        ),
        huggingface=HuggingFaceForm(
            transformers_class="MixtralForCausalLM",
            model_type="mixtral",
            config=mixtral_config,
            layer=huggingface_experts(block="block_sparse_moe", matrices=MIXTRAL_MATRICES),
        ),
        gguf=GgufForm("llama", keys=experts_keys, layer=interleaved_experts),
        feed_forwards=_EXPERTS_ONLY,
    ),
    Carrier(
        name="Qwen3-MoE",
        refusals=refusals(**_EXPERTS, attention=_of_qwen3_moe, biases="none", block=_router()),
        huggingface=HuggingFaceForm(
            transformers_class="Qwen3MoeForCausalLM",
            model_type="qwen3_moe",
            config=qwen3_moe_config,
            layer=huggingface_experts(),
        ),
        gguf=GgufForm(
            "qwen3moe", keys=experts_keys, layer=plain_experts, refusals=_fixed(normalized=True)
        ),
        feed_forwards=_EXPERTS_ONLY,
    ),
    Carrier(
        name="Qwen2-MoE",
        refusals=refusals(**_EXPERTS, attention=_of_qwen2_moe, block=_router(shared=True)),
        huggingface=HuggingFaceForm(
            transformers_class="Qwen2MoeForCausalLM",
            model_type="qwen2_moe",
            config=qwen2_moe_config,
            layer=huggingface_experts(),
        ),
        gguf=GgufForm(
            "qwen2moe",
            keys=experts_keys,
            layer=plain_experts,
            refusals=_fixed(normalized=False, tied=False),
        ),
        feed_forwards=_EXPERTS_ONLY,
    ),
    Carrier(
        name="OLMoE",
        refusals=refusals(
            **_EXPERTS,
            attention=_of_olmoe,
            biases="none",
            block=_router(),
            carries=frozenset({"qk_norm_over"}),
        ),
        huggingface=HuggingFaceForm(
            transformers_class="OlmoeForCausalLM",
            model_type="olmoe",
            config=olmoe_config,
            layer=huggingface_experts(),
        ),
        gguf=GgufForm("olmoe", keys=experts_keys, layer=plain_experts, refusals=_olmoe_in_llamacpp),
        feed_forwards=_EXPERTS_ONLY,
    ),
    Carrier(
        name="PhiMoE",
        refusals=refusals(
            **{**_EXPERTS, "norm": "layer"},
            attention=_of_phimoe,
            head_bias=None,
            carries=frozenset({"long_rope"}),
            block=_router(router="sparsemixer"),
        ),
        huggingface=HuggingFaceForm(
            transformers_class="PhimoeForCausalLM",
            model_type="phimoe",
            config=phimoe_config,
            layer=huggingface_experts(
                block="block_sparse_moe", matrices=MIXTRAL_MATRICES, all_biases=True
            ),
            longest_text=_phimoe_longest_text,
        ),
        gguf=None,
        feed_forwards=_EXPERTS_ONLY,
        absent=(
            "llama.cpp's phimoe computes RMSNorm and a softmax router, not LayerNorm and "
            "SparseMixer"
        ),
        limits=_phimoe_limits,
    ),
)

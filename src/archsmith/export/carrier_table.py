"""The rows of the carrier table, in the order in which they are tried.

Each row was compared in float32 between transformers and llama.cpp (the gate does it again for
every exported file). Why points are refused:
- llama.cpp's `llama` computes SiLU whatever the file says: a GELU file loads and is silently wrong.
- transformers' LlamaConfig wants heads to divide the width even where head_dim is given.
- llama.cpp switches the sliding window of `phi3` off; Granite-SWA and MiMo-V2-Flash carry windows
  in both. Their attention sinks are set so low that they take no weight.
- llama.cpp fixes by architecture whether expert weights are divided by their sum.
- one `eps` and one `theta` stand in the files for the whole network.
"""

from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.export.carrier_attention import (
    CONTEXT_STEP,
    long_rope_in_llamacpp,
    of_granite_swa,
    of_llama,
    of_phi,
    of_phi3,
    of_qwen3,
    of_starcoder2,
    some_rope_in_llamacpp,
    switch_of,
)
from archsmith.export.carrier_experts import ROWS as EXPERTS
from archsmith.export.carrier_forms import (
    gguf_keys,
    granite_swa_config,
    granite_swa_keys,
    llama_config,
    phi3_config,
    phi3_keys,
    phi_config,
    qwen3_config,
    starcoder2_config,
)
from archsmith.export.carrier_mimo import ROWS as MIMO
from archsmith.export.carrier_padded import ROWS as PADDED
from archsmith.export.carrier_rules import refusals
from archsmith.export.carrier_tensors import (
    granite_swa_gguf,
    granite_swa_huggingface,
    interleaved_gguf,
    llama_huggingface,
    long_rope_factors,
    phi3_gguf,
    phi3_huggingface,
    phi_huggingface,
    plain_gguf,
    starcoder2_huggingface,
)
from archsmith.export.carriers import Carrier, GgufForm, HuggingFaceForm

_SWIGLU: dict[str, Any] = {"norm": "rms", "residual": "sequential", "feed_forward": "gated_mlp"}
_MULTIPLIERS = frozenset(
    {"embedding_multiplier", "residual_multiplier", "logits_scaling", "attention_multiplier"}
)


def _long_rope_limits(architecture: Architecture) -> list[str]:
    original = switch_of(architecture)
    if original is None:
        return []
    short = original // CONTEXT_STEP * CONTEXT_STEP
    said = (
        "llama.cpp chooses LongRoPE's factors by its context, transformers by the text: run the "
        f"GGUF file with a context of at most {short} tokens for texts up to {short}"
    )
    if architecture.max_position_embeddings > original:
        said += f", and with a longer one only for texts of more than {original} tokens"
    return [said]


DENSE = (
    Carrier(
        name="Llama",
        refusals=refusals(**_SWIGLU, attention=of_llama),
        huggingface=HuggingFaceForm(
            transformers_class="LlamaForCausalLM",
            model_type="llama",
            config=llama_config,
            layer=llama_huggingface,
        ),
        gguf=GgufForm("llama", keys=gguf_keys, layer=interleaved_gguf),
    ),
    Carrier(
        name="Qwen3",
        refusals=refusals(**_SWIGLU, attention=of_qwen3),
        huggingface=HuggingFaceForm(
            transformers_class="Qwen3ForCausalLM",
            model_type="qwen3",
            config=qwen3_config,
            layer=llama_huggingface,
        ),
        gguf=GgufForm("qwen3", keys=gguf_keys, layer=plain_gguf),
    ),
    Carrier(
        name="Phi",
        refusals=refusals(
            norm="layer",
            residual="parallel",
            feed_forward="mlp",
            activation="gelu_tanh",
            attention=of_phi,
            biases="all",
            head_bias=True,
            tied=False,
        ),
        huggingface=HuggingFaceForm(
            transformers_class="PhiForCausalLM",
            model_type="phi",
            config=phi_config,
            layer=phi_huggingface,
            final_norm="model.final_layernorm",
        ),
        gguf=GgufForm("phi2", keys=gguf_keys, layer=plain_gguf),
        feed_forwards=frozenset({"mlp"}),
    ),
    Carrier(
        name="Phi-3",
        refusals=refusals(
            **_SWIGLU, attention=of_phi3, biases="none", carries=frozenset({"long_rope"})
        ),
        huggingface=HuggingFaceForm(
            transformers_class="Phi3ForCausalLM",
            model_type="phi3",
            config=phi3_config,
            layer=phi3_huggingface,
        ),
        gguf=GgufForm(
            "phi3",
            keys=phi3_keys,
            layer=phi3_gguf,
            constants=long_rope_factors,
            refusals=long_rope_in_llamacpp,
        ),
        limits=_long_rope_limits,
    ),
    Carrier(
        name="Granite-SWA",
        refusals=refusals(
            **_SWIGLU,
            attention=of_granite_swa,
            varying=("sliding_window", "rope"),
            windows=True,
            carries=_MULTIPLIERS,
        ),
        huggingface=HuggingFaceForm(
            transformers_class="GraniteSWAForCausalLM",
            model_type="granite_swa",
            config=granite_swa_config,
            layer=granite_swa_huggingface,
        ),
        gguf=GgufForm(
            "granite_swa",
            keys=granite_swa_keys,
            layer=granite_swa_gguf,
            refusals=some_rope_in_llamacpp,
        ),
    ),
    Carrier(
        name="StarCoder2",
        refusals=refusals(
            norm="layer",
            residual="sequential",
            feed_forward="mlp",
            activation="gelu_tanh",
            attention=of_starcoder2,
            biases="all",
        ),
        huggingface=HuggingFaceForm(
            transformers_class="Starcoder2ForCausalLM",
            model_type="starcoder2",
            config=starcoder2_config,
            layer=starcoder2_huggingface,
        ),
        gguf=GgufForm("starcoder2", keys=gguf_keys, layer=plain_gguf),
        feed_forwards=frozenset({"mlp"}),
    ),
)

CARRIERS: dict[str, Carrier] = {row.name: row for row in (*DENSE, *EXPERTS, *MIMO, *PADDED)}

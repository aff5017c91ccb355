"""The rows of the carrier table: Llama, Qwen3, Phi, Phi-3, Granite-SWA and StarCoder2 (dense).

Each row was compared in float32 between transformers and llama.cpp (the gate does it again for
every exported file). Why points are refused:
- llama.cpp's `llama` computes SiLU whatever the file says: a GELU file loads and is silently wrong.
- transformers' LlamaConfig wants heads to divide the width even where head_dim is given.
- llama.cpp switches the sliding window of `phi3` off; Granite-SWA carries windows in both. Its
  attention sinks are set so low that they take no weight.
- one `eps` and one `theta` stand in the files for the whole network.
"""

from typing import Any

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
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
from archsmith.export.carrier_rules import (
    of_granite_swa,
    of_llama,
    of_phi,
    of_qwen3,
    of_starcoder2,
    refusals,
)
from archsmith.export.carrier_tensors import (
    granite_swa_gguf,
    granite_swa_huggingface,
    interleaved_gguf,
    llama_huggingface,
    phi3_gguf,
    phi3_huggingface,
    phi_huggingface,
    plain_gguf,
    starcoder2_huggingface,
)
from archsmith.export.carriers import Carrier

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
            refusals=refusals(**_SWIGLU, attention=of_llama),
            config=llama_config,
            keys=gguf_keys,
            huggingface_layer=llama_huggingface,
            gguf_layer=interleaved_gguf,
        ),
        Carrier(
            name="Qwen3",
            transformers_class="Qwen3ForCausalLM",
            model_type="qwen3",
            gguf_architecture="qwen3",
            refusals=refusals(**_SWIGLU, attention=of_qwen3),
            config=qwen3_config,
            keys=gguf_keys,
            huggingface_layer=llama_huggingface,
            gguf_layer=plain_gguf,
        ),
        Carrier(
            name="Phi",
            transformers_class="PhiForCausalLM",
            model_type="phi",
            gguf_architecture="phi2",
            refusals=refusals(
                norm="layer",
                residual="parallel",
                feed_forward=Mlp,
                activation="gelu_tanh",
                attention=of_phi,
                biases="all",
                head_bias=True,
                tied=False,
            ),
            config=phi_config,
            keys=gguf_keys,
            huggingface_layer=phi_huggingface,
            gguf_layer=plain_gguf,
            final_norm="model.final_layernorm",
        ),
        Carrier(
            name="Phi-3",
            transformers_class="Phi3ForCausalLM",
            model_type="phi3",
            gguf_architecture="phi3",
            refusals=refusals(**_SWIGLU, attention=of_phi, biases="none"),
            config=phi3_config,
            keys=phi3_keys,
            huggingface_layer=phi3_huggingface,
            gguf_layer=phi3_gguf,
        ),
        Carrier(
            name="Granite-SWA",
            transformers_class="GraniteSWAForCausalLM",
            model_type="granite_swa",
            gguf_architecture="granite_swa",
            refusals=refusals(
                **_SWIGLU,
                attention=of_granite_swa,
                varying=("sliding_window", "rope"),
                windows=True,
            ),
            config=granite_swa_config,
            keys=granite_swa_keys,
            huggingface_layer=granite_swa_huggingface,
            gguf_layer=granite_swa_gguf,
        ),
        Carrier(
            name="StarCoder2",
            transformers_class="Starcoder2ForCausalLM",
            model_type="starcoder2",
            gguf_architecture="starcoder2",
            refusals=refusals(
                norm="layer",
                residual="sequential",
                feed_forward=Mlp,
                activation="gelu_tanh",
                attention=of_starcoder2,
                biases="all",
            ),
            config=starcoder2_config,
            keys=gguf_keys,
            huggingface_layer=starcoder2_huggingface,
            gguf_layer=plain_gguf,
        ),
    )
}

"""Published `config.json` files are read as the presets of their models."""

import pytest

from archsmith import presets
from archsmith.export.reading.folder import architecture_of_config
from archsmith.presets.long_rope import published_long_ropes


def longrope(preset, **fields):
    factors = published_long_ropes()[preset]
    return {
        "short_factor": list(factors.short_factor),
        "long_factor": list(factors.long_factor),
        **fields,
    }


PHI_1 = {
    "model_type": "phi",
    "architectures": ["PhiForCausalLM"],
    "hidden_act": "gelu_new",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "num_attention_heads": 32,
    "num_hidden_layers": 24,
    "num_key_value_heads": None,
    "partial_rotary_factor": 0.5,
    "qk_layernorm": False,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 51200,
}
PHI_3_MINI = {
    "model_type": "phi3",
    "architectures": ["Phi3ForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "max_position_embeddings": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "original_max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": 2047,
    "tie_word_embeddings": False,
    "vocab_size": 32064,
}
LONG = {**PHI_3_MINI, "max_position_embeddings": 131072, "sliding_window": 262144}
QWEN3 = {
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 151936,
}

PUBLISHED = {
    "phi_1": PHI_1,
    "phi_2": {
        **PHI_1,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.4,
    },
    "phi_3_mini_128k": {**LONG, "rope_scaling": longrope("phi_3_mini_128k", type="longrope")},
    "phi_3_5_mini": {**LONG, "rope_scaling": longrope("phi_3_5_mini", type="su")},
    "phi_4": {
        **PHI_3_MINI,
        "hidden_size": 5120,
        "intermediate_size": 17920,
        "max_position_embeddings": 16384,
        "num_attention_heads": 40,
        "num_hidden_layers": 40,
        "num_key_value_heads": 10,
        "original_max_position_embeddings": 16384,
        "rope_theta": 250000,
        "sliding_window": None,
        "vocab_size": 100352,
    },
    "phi_4_mini": {
        **LONG,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "partial_rotary_factor": 0.75,
        "rope_scaling": longrope("phi_4_mini", type="longrope"),
        "tie_word_embeddings": True,
        "vocab_size": 200064,
    },
    "phi_3_5_moe": {
        **LONG,
        "model_type": "phimoe",
        "architectures": ["PhiMoEForCausalLM"],
        "attention_bias": True,
        "hidden_size": 4096,
        "input_jitter_noise": 0.01,
        "intermediate_size": 6400,
        "lm_head_bias": True,
        "num_experts_per_tok": 2,
        "num_key_value_heads": 8,
        "num_local_experts": 16,
        "rope_scaling": longrope(
            "phi_3_5_moe",
            type="longrope",
            short_mscale=1.243163121016122,
            long_mscale=1.243163121016122,
            original_max_position_embeddings=4096,
        ),
        "router_jitter_noise": 0.01,
        "sliding_window": 131072,
    },
    "qwen3_0_6b": {
        **QWEN3,
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "qwen3_30b_a3b": {
        **QWEN3,
        "model_type": "qwen3_moe",
        "decoder_sparse_step": 1,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "mlp_only_layers": [],
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "num_attention_heads": 32,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
    "olmoe_1b_7b": {
        "model_type": "olmoe",
        "clip_qkv": None,
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "max_position_embeddings": 4096,
        "norm_topk_prob": False,
        "num_attention_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 16,
        "num_key_value_heads": 16,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "vocab_size": 50304,
    },
    "mixtral_8x7b": {
        "model_type": "mixtral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "num_attention_heads": 32,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "vocab_size": 32000,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_is_its_preset(name):
    assert architecture_of_config(PUBLISHED[name]) == presets.PRESETS[name]()


def test_the_published_window_of_phi_3_mini_is_kept():
    assert architecture_of_config(PHI_3_MINI) == presets.phi_3_mini(sliding_window=2047)


def test_llama_3_2_has_its_rotary_scaling():
    found = architecture_of_config(
        {
            "model_type": "llama",
            "head_dim": 64,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "max_position_embeddings": 131072,
            "num_attention_heads": 32,
            "num_hidden_layers": 16,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "vocab_size": 128256,
        }
    )
    assert found.num_params == 1_235_814_400
    scaling = found.layers[0].mixer.rope.long_rope
    assert scaling.short_factor == scaling.long_factor
    assert (scaling.short_factor[0], scaling.short_factor[-1]) == (1.0, 32.0)
    # the shortest stretched wave lies between: 8192 tokens hold 1 to 4 turns of it
    assert sum(1.0 < factor < 32.0 for factor in scaling.short_factor) == 3
    assert scaling.attention_factor(1, 131072) == 1.0

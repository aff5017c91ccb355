"""Whatever a folder holds, reading gives a model or one of our errors."""

import json
from contextlib import suppress

import pytest
from export_helpers import llama, random_weights
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from archsmith import registry
from archsmith.errors import CheckpointError, ConfigError
from archsmith.export.reading.folder import architecture_of_config, read_huggingface

CONFIG = {
    "vocab_size": 280,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "head_dim": 12,
    "v_head_dim": 12,
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 6,
    "shared_expert_intermediate_size": 4,
    "mlp_only_layers": [],
    "decoder_sparse_step": 1,
    "mlp_layer_types": ["dense", "sparse"],
    "layer_types": ["full_attention", "sliding_attention"],
    "layer_rope_theta": None,
    "use_sliding_window": True,
    "max_window_layers": 1,
    "sliding_window": 4,
    "hidden_act": "silu",
    "rope_theta": 1e4,
    "rope_scaling": None,
    "partial_rotary_factor": 1.0,
    "architectures": None,
    "attention_multiplier": 0.5,
    "router_jitter_noise": 0.1,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 2.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 1.0,
    "original_max_position_embeddings": 9,
}
scalars = st.none() | st.booleans() | st.integers(-2, 99) | st.floats() | st.text(max_size=3)
values = (
    scalars
    | st.lists(scalars, max_size=2)
    | st.dictionaries(st.sampled_from([*LLAMA3, "full_attention", "type"]), scalars, max_size=3)
    | st.sampled_from([{"rope_type": "longrope"}, {"rope_type": "linear"}])
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(registry.names("stock_families")), st.sampled_from(sorted(CONFIG)), values)
@example("llama", "rope_scaling", LLAMA3)
@example("phi3", "partial_rotary_factor", float("inf"))
def test_any_config_is_read_or_refused_in_one_sentence(family, key, value):
    said = ""
    try:
        architecture_of_config({**CONFIG, "model_type": family, key: value})
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": "llama"}))
    save_file(random_weights(llama()), folder / "model.safetensors")
    return folder


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_header_is_read_or_called_damaged(folder, data):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    place = data.draw(st.integers(0, header - 1))
    byte = data.draw(st.integers(0, 255))
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    with suppress(CheckpointError):  # nothing else may come
        read_huggingface(folder)
    path.write_bytes(whole)

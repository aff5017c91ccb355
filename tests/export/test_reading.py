"""Reading a transformers folder: every form of its files, and one sentence for what cannot be."""

import json

import numpy as np
import pytest
from export_helpers import llama, random_weights
from safetensors.numpy import load_file, save_file

from archsmith.errors import CheckpointError, ConfigError
from archsmith.export.formats.huggingface import tensor_bytes
from archsmith.export.reading.folder import architecture_of_config, read_huggingface

LLAMA = {
    "model_type": "llama",
    "vocab_size": 280,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
MIXTRAL = {
    "model_type": "mixtral",
    "vocab_size": 13,
    "hidden_size": 8,
    "intermediate_size": 6,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
    "num_local_experts": 3,
}


def write_config(folder, config):
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def written(folder, **changes):
    """A Llama as transformers has it; `changes` are those of its config. Returns the weights."""
    config = {key: value for key, value in {**LLAMA, **changes}.items() if value != "absent"}
    write_config(folder, config)
    weights = random_weights(llama())
    save_file(weights, folder / "model.safetensors")
    return weights


def test_shards_are_put_together(tmp_path):
    weights = written(tmp_path)
    names = sorted(weights)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, kept in shards.items():
        save_file({name: weights[name] for name in kept}, tmp_path / shard)
    (tmp_path / "model.safetensors").unlink()
    places = {name: shard for shard, kept in shards.items() for name in kept}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    found = read_huggingface(tmp_path).weights
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-2\.safetensors, which .* names"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize(("dtype", "code"), [("float16", "F16"), ("bfloat16", "BF16")])
def test_half_precision_becomes_float32(dtype, code, tmp_path):
    weights = written(tmp_path)
    raw(tmp_path / "model.safetensors", weights, lambda data: tensor_bytes(data, dtype), code)
    found = read_huggingface(tmp_path).weights
    for name, weight in weights.items():
        bits = weight.view(np.uint32)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).view(np.float32)
        expected = rounded if dtype == "bfloat16" else weight.astype(np.float16)
        assert np.array_equal(found[name], expected), name


def raw(path, tensors, encode, code):
    """A safetensors file of any dtype, which the library's numpy side cannot write."""
    header, body = {}, b""
    for name, data in tensors.items():
        start, body = len(body), body + encode(data)
        header[name] = {"dtype": code, "shape": data.shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "phi5"}, r"model_type: not among .* did you mean 'phi'\?"),
        ({"model_type": "absent"}, r"model_type: not among .* known: granite, "),
        ({"hidden_act": "gelu"}, r"hidden_act: archsmith computes silu, .*\(given: 'gelu'\)"),
        ({"hidden_size": "wide"}, r"hidden_size: must be a whole number .*\(given: 'wide'\)"),
        ({"hidden_size": "absent"}, "hidden_size: this key is required"),
        ({"attention_bias": 1}, "attention_bias: must be true or false"),
        ({"num_key_value_heads": 3}, "num_key_value_heads must divide num_attention_heads"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: the weights are quantized"),
        ({"architectures": ["LlamaModel"]}, "architectures: a model for causal language"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type: 'yarn' is not among .* llama3"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "short_factor: must be a list of numbers"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor: must be a number above 0"),
        ({"partial_rotary_factor": 0.5}, "this model type rotates whole heads"),
    ],
)
def test_settings_that_cannot_be_computed_are_named(changes, message, tmp_path):
    written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        read_huggingface(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "phi", "qk_layernorm": True}, "normalizes heads by root mean square only"),
        ({"model_type": "olmoe", "clip_qkv": 8.0}, r"clip_qkv: .*\(given: 8\.0\)"),
        ({"model_type": "phi3", "partial_rotary_factor": 0.8}, "rotates 3 of 4 features"),
        ({"model_type": "qwen3", "layer_types": ["chunked_attention"]}, "'chunked_attention'"),
        ({"model_type": "qwen3", "layer_types": []}, "one entry for each of 1 layers"),
        ({"model_type": "mimo_v2_flash", "head_dim": 4}, "v_head_dim: values must be as wide"),
        ({"model_type": "phimoe", "num_experts_per_tok": 3}, "takes 2 experts per token"),
        ({"model_type": "granite_swa", "layer_rope_theta": [1, 2]}, "one number for each of 1"),
    ],
)
def test_families_refuse_what_they_lack(config, message):
    with pytest.raises(ConfigError, match=message):
        architecture_of_config({**MIXTRAL, **config})


def change(folder, how):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    how(tensors)
    save_file(tensors, path)


def test_a_missing_tensor_is_named(tmp_path):
    written(tmp_path)
    change(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    message = r"lack model\.layers\.1\.mlp\.up_proj\.weight of shape \(96, 48\)"
    with pytest.raises(CheckpointError, match=message):
        read_huggingface(tmp_path)


def test_a_wrong_shape_is_named(tmp_path):
    written(tmp_path)
    change(tmp_path, lambda t: t.update({"model.norm.weight": np.zeros(47, dtype=np.float32)}))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight has shape \(47,\), .*\(48,\)"):
        read_huggingface(tmp_path)


def test_a_tensor_without_a_place_is_named(tmp_path):
    written(tmp_path)
    extra = np.zeros(3, dtype=np.float32)
    change(tmp_path, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": extra}))
    read_huggingface(tmp_path)  # a table of older versions
    change(tmp_path, lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": extra}))
    with pytest.raises(CheckpointError, match=r"q_proj\.bias has no place in the network"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("keep", "message"),
    [(-1000, "damaged: it ends at byte"), (300, "damaged: 300 bytes do not hold"), (3, "damaged")],
)
def test_a_truncated_file_is_called_damaged(keep, message, tmp_path):
    written(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=message):
        read_huggingface(tmp_path)


def test_a_file_of_something_else_is_called_damaged(tmp_path):
    written(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((12).to_bytes(8, "little") + b"no header at all")
    with pytest.raises(CheckpointError, match="damaged: its header cannot be read"):
        read_huggingface(tmp_path)


def test_quantized_tensors_are_refused(tmp_path):
    weights = written(tmp_path)
    path = tmp_path / "model.safetensors"
    raw(path, weights, lambda data: bytes(data.size), "F8_E4M3")
    with pytest.raises(CheckpointError, match="stored as F8_E4M3, a quantized format"):
        read_huggingface(tmp_path)
    save_file({name: data.astype(np.int8) for name, data in weights.items()}, path)
    with pytest.raises(CheckpointError, match="stored as I8, whole numbers"):
        read_huggingface(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        read_huggingface(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        read_huggingface(tmp_path)
    written(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"neither model\.safetensors nor"):
        read_huggingface(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="pickles"):
        read_huggingface(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_huggingface(tmp_path)


def test_a_window_beyond_the_context_is_none():
    config = {**MIXTRAL, "sliding_window": 32}
    assert architecture_of_config(config).layers[0].mixer.sliding_window is None
    config["sliding_window"] = 31
    assert architecture_of_config(config).layers[0].mixer.sliding_window == 31

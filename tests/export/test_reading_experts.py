"""Experts in a transformers folder: stacked, as transformers holds them, or one by one."""

import json

import numpy as np
from safetensors.numpy import save_file

from archsmith.export.reading.folder import read_huggingface

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


def experts_one_by_one(tensors):
    """The published form of Mixtral's experts, from the stacked form."""
    apart = {}
    for name, data in tensors.items():
        prefix = name.partition("mlp.experts.")[0] + "block_sparse_moe."
        if name.endswith("gate_up_proj"):
            for expert, both in enumerate(data):
                apart[f"{prefix}experts.{expert}.w1.weight"] = both[:6].copy()
                apart[f"{prefix}experts.{expert}.w3.weight"] = both[6:].copy()
        elif name.endswith("experts.down_proj"):
            for expert, down in enumerate(data):
                apart[f"{prefix}experts.{expert}.w2.weight"] = down
        else:
            apart[name.replace("mlp.", "block_sparse_moe.")] = data
    return apart


def test_experts_are_read_stacked_or_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {
        "model.embed_tokens.weight": (13, 8),
        "lm_head.weight": (13, 8),
        "model.norm.weight": (8,),
        **{f"model.layers.0.{name}_layernorm.weight": (8,) for name in ("input", "post_attention")},
        **{f"model.layers.0.self_attn.{n}_proj.weight": (8, 8) for n in "qo"},
        **{f"model.layers.0.self_attn.{n}_proj.weight": (4, 8) for n in "kv"},
        "model.layers.0.mlp.gate.weight": (3, 8),
        "model.layers.0.mlp.experts.gate_up_proj": (3, 12, 8),
        "model.layers.0.mlp.experts.down_proj": (3, 8, 6),
    }
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL), encoding="utf-8")
    save_file(tensors, tmp_path / "model.safetensors")
    stacked = read_huggingface(tmp_path).weights
    save_file(experts_one_by_one(tensors), tmp_path / "model.safetensors")
    apart = read_huggingface(tmp_path).weights
    both = tensors["model.layers.0.mlp.experts.gate_up_proj"]
    assert np.array_equal(stacked["model.layers.0.mlp.experts.up_proj"], both[:, 6:])
    assert list(stacked) == list(apart)
    assert all(np.array_equal(stacked[name], apart[name]) for name in stacked)

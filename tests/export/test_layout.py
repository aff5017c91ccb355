import tempfile
from pathlib import Path

import pytest
from export_helpers import CARRIED, experts, make_tokenizer, random_weights, write_gguf
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import ExportError
from archsmith.export.layout import (
    RESERVED_BYTES,
    gguf_num_bytes,
    keys_num_bytes,
    prefix_num_bytes,
    reserved_keys,
    tensor_types,
    tokenizer_num_bytes,
)
from archsmith.export.quantization import FILE_TYPES


@given(
    family=st.sampled_from(sorted(CARRIED)),
    quantization=st.sampled_from(sorted(FILE_TYPES)),
    vocab_size=st.integers(258, 700),
    pre_tokenizer=st.sampled_from(["gpt-2", "llama-bpe", "qwen2"]),
    shape=st.sampled_from([(40, 5, 8), (96, 3, 32), (256, 2, 128)]),
    inner=st.sampled_from([40, 96, 256]),
    layers=st.sampled_from([1, 3, 11]),
    tied=st.booleans(),
    name=st.text(max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_a_file_has_the_predicted_bytes(
    family, quantization, vocab_size, pre_tokenizer, shape, inner, layers, tied, name
):
    hidden_size, heads, head_dim = shape
    fixed = ("Phi", "Qwen2-MoE", "OLMoE", "MiMo-V2-Flash", "Padded Qwen3")
    changes = {} if family in fixed else {"tie_word_embeddings": tied}
    architecture = CARRIED[family](
        hidden_size=hidden_size,
        heads=heads,
        kv=heads if family == "OLMoE" else 1,
        head_dim=head_dim,
        inner=inner,
        layers=layers,
        vocab_size=vocab_size,
        quantization=quantization,
        **changes,
    )
    tokenizer = make_tokenizer(vocab_size, pre_tokenizer)
    predicted = gguf_num_bytes(architecture, tokenizer_num_bytes(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.gguf"
        write_gguf(path, architecture, tokenizer=tokenizer, metadata={"name": name})
        assert path.stat().st_size == predicted


def test_tensor_types_are_those_of_the_file(tmp_path):
    architecture = CARRIED["Phi-3"](quantization="Q5_K_M", hidden_size=256, heads=2, head_dim=128)
    path = tmp_path / "x.gguf"
    write_gguf(path, architecture)
    stored = {
        tensor.name: (tensor.tensor_type.name, tuple(int(n) for n in reversed(tensor.shape)))
        for tensor in GGUFReader(path).tensors
    }
    assert stored == {name: tuple(kind) for name, kind in tensor_types(architecture).items()}
    assert stored["blk.0.attn_qkv.weight"] == ("Q6_K", (768, 256))
    assert stored["blk.0.ffn_down.weight"] == ("Q5_1", (256, 96))


def test_experts_are_stacked_and_stored_as_llama_quantize_would(tmp_path):
    feed_forward = experts(num_experts=8, moe_intermediate_size=256)
    architecture = CARRIED["Mixtral"](
        quantization="Q4_K_M", hidden_size=256, head_dim=64, feed_forward=feed_forward
    )
    path = tmp_path / "x.gguf"
    write_gguf(path, architecture)
    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    kinds = tensor_types(architecture)
    for name, kind in kinds.items():
        assert stored[name].tensor_type.name == kind.ggml_type, name
    assert kinds["blk.0.ffn_gate_inp.weight"] == ("F32", (8, 256))
    assert kinds["blk.0.ffn_up_exps.weight"] == ("Q4_K", (8, 256, 256))
    assert kinds["blk.1.ffn_down_exps.weight"] == ("Q6_K", (8, 256, 256))
    assert kinds["blk.0.attn_k.weight"].ggml_type == "Q8_0"
    assert kinds["blk.0.attn_output.weight"].ggml_type == "Q5_K"
    assert path.stat().st_size == gguf_num_bytes(
        architecture, tokenizer_num_bytes(make_tokenizer(architecture.vocab_size))
    )


def test_a_prefix_of_a_vocabulary_costs_a_look_up():
    tokenizer = make_tokenizer(500)
    num_bytes = prefix_num_bytes(tokenizer)
    for vocab_size in (258, 300, 500):
        assert num_bytes(vocab_size) == tokenizer_num_bytes(tokenizer.prefix(vocab_size))
    with pytest.raises(ExportError, match="has 500 tokens; 501 were asked for"):
        num_bytes(501)


@given(st.dictionaries(st.sampled_from(["name", "license", "corpus_hash", "é"]), st.text()))
@settings(max_examples=30, deadline=None)
def test_metadata_of_any_length_takes_the_reserve(metadata):
    assert keys_num_bytes(reserved_keys(metadata)) == RESERVED_BYTES


def test_metadata_beyond_the_reserve_is_refused():
    with pytest.raises(ExportError, match="2048 are reserved"):
        reserved_keys({"name": "x" * 3000})


def test_metadata_does_not_move_the_weights(tmp_path):
    architecture = CARRIED["Llama"]()
    weights = random_weights(architecture)
    for index, metadata in enumerate([{}, {"name": "a model", "corpus_hash": "0123"}]):
        write_gguf(tmp_path / f"{index}", architecture, weights=weights, metadata=metadata)
    first, second = ((tmp_path / name).read_bytes() for name in "01")
    assert len(first) == len(second)
    assert first[-5000:] == second[-5000:]

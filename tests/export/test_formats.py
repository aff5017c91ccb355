import json

import numpy as np
import pytest
import torch
from export_helpers import (
    CARRIED,
    llama,
    llama_with_biases,
    make_tokenizer,
    random_weights,
    write_gguf,
)
from gguf import GGUFReader
from safetensors import safe_open

from archsmith import registry
from archsmith.errors import ExportError
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate_tensors import check_huggingface_tensors
from archsmith.export.plans import huggingface_plan


def write_folder(path, architecture, **options):
    weights = random_weights(architecture)
    HUGGINGFACE.write(
        path,
        weights=weights,
        architecture=architecture,
        tokenizer=make_tokenizer(architecture.vocab_size),
        metadata={"name": "Tiny | model", "license": "mit", "bits_per_byte": 1.25},
        **options,
    )
    return weights


def test_both_formats_are_registered():
    for name in ("gguf", "huggingface"):
        part = registry.find("exporters", name)
        assert part.name == name
        assert part.unsupported(llama()) == []
        assert part.unsupported(llama(lm_head_bias=True))


def test_existing_files_are_kept_unless_told(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("precious")
    with pytest.raises(ExportError, match=r"model\.gguf exists"):
        write_gguf(path, llama())
    assert path.read_text() == "precious"
    write_gguf(path, llama(), overwrite=True)
    assert path.read_bytes()[:4] == b"GGUF"
    folder = tmp_path / "folder"
    write_folder(folder, llama())
    with pytest.raises(ExportError, match="folder exists"):
        write_folder(folder, llama())
    write_folder(folder, llama(), overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "model.gguf"]


def test_a_failed_export_leaves_nothing(tmp_path):
    architecture = llama()
    weights = random_weights(architecture)
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
    with pytest.raises(ExportError, match=r"'model\.layers\.1\.mlp\.up_proj\.weight' holds a"):
        write_gguf(tmp_path / "x.gguf", architecture, weights=weights)
    assert list(tmp_path.iterdir()) == []


def test_wrong_weights_are_named(tmp_path):
    architecture = llama()
    weights = random_weights(architecture)
    norm = weights.pop("model.norm.weight")
    with pytest.raises(ExportError, match=r"'model\.norm\.weight' is missing"):
        write_gguf(tmp_path / "x", architecture, weights=weights)
    with pytest.raises(ExportError, match=r"has shape \(47,\), expected \(48,\)"):
        write_gguf(
            tmp_path / "x", architecture, weights={**weights, "model.norm.weight": norm[:-1]}
        )
    with pytest.raises(ExportError, match="has no weight 'lm_head"):
        write_gguf(tmp_path / "x", architecture, weights={**weights, "lm_head.weight": norm})


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    with pytest.raises(ExportError, match="vocabulary of 280, the tokenizer 300 tokens"):
        write_gguf(tmp_path / "x", llama(), tokenizer=make_tokenizer(300))
    with pytest.raises(ExportError, match="has no merges"):
        write_gguf(tmp_path / "x", llama(vocab_size=257), tokenizer=make_tokenizer(257))


def test_a_gguf_file_says_where_it_comes_from(tmp_path):
    path = tmp_path / "x.gguf"
    write_gguf(path, llama(), metadata={"name": "mine", "corpus_hash": "abc"})
    reader = GGUFReader(path)
    assert reader.get_field("general.name").contents() == "mine"
    assert reader.get_field("archsmith.corpus_hash").contents() == "abc"
    kinds = reader.get_field("tokenizer.ggml.token_type").contents()
    assert kinds[0] == 3
    assert set(kinds[1:]) == {1}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_stored_to_the_precision_asked_for(tmp_path, dtype):
    architecture = llama_with_biases()
    weights = write_folder(tmp_path / "x", architecture, dtype=dtype)
    with safe_open(tmp_path / "x" / "model.safetensors", framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert set(found) == {plan.name for plan in huggingface_plan(architecture)}
    name = "model.layers.0.self_attn.q_proj.weight"
    assert found[name].dtype == getattr(torch, dtype)
    error = np.abs(found[name].float().numpy() - weights[name]).max()
    assert error <= {"float32": 0.0, "float16": 5e-4, "bfloat16": 4e-3}[dtype]
    assert check_huggingface_tensors(tmp_path / "x", architecture, weights) == len(found)
    # Llama has every attention bias or none
    assert not found["model.layers.0.self_attn.o_proj.bias"].any()
    assert json.loads((tmp_path / "x" / "config.json").read_text())["dtype"] == dtype


def test_weights_beyond_half_precision_are_refused(tmp_path):
    architecture = llama()
    weights = random_weights(architecture)
    weights["model.norm.weight"][0] = 1e6
    with pytest.raises(ExportError, match="too large for float16"):
        HUGGINGFACE.write(
            tmp_path / "x",
            weights=weights,
            architecture=architecture,
            tokenizer=make_tokenizer(),
            metadata={},
            dtype="float16",
        )


def test_the_model_card_holds_the_caller_s_numbers(tmp_path):
    write_folder(tmp_path / "x", CARRIED["Phi"]())
    card = (tmp_path / "x" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "license: mit" in card
    assert "| bits_per_byte | 1.25 |" in card
    assert "PhiForCausalLM" in card


def test_the_model_card_tells_of_zeros_and_of_limits(tmp_path):
    write_folder(tmp_path / "x", CARRIED["Padded Llama"]())
    card = (tmp_path / "x" / "README.md").read_text()
    assert "| stored here | " in card
    assert "zeros and copies make all layers equally wide" in card
    write_folder(tmp_path / "y", CARRIED["Phi-3 with LongRoPE"]())
    card = (tmp_path / "y" / "README.md").read_text()
    assert "stored here" not in card
    assert "Limitation: llama.cpp chooses LongRoPE's factors by its context" in card

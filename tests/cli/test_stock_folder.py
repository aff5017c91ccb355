"""`archsmith export` of a folder that transformers wrote: what bad ones get."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers_workflow import archsmith_here

CONFIG = {
    "model_type": "phi3",
    "vocab_size": 257,
    "hidden_size": 8,
    "intermediate_size": 6,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """A folder with a config and a file that holds too little."""
    folder = tmp_path / "stock"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    norm = {"model.norm.weight": np.ones(8, dtype=np.float32)}
    save_file(norm, folder / "model.safetensors")
    return folder


def told(stock: Path, *, code: int) -> str:
    output = stock.parent / "out"
    out, errors = archsmith_here(
        "export", stock, "--output-dir", output, "--quiet", cwd=stock.parent, code=code
    )
    assert out == ""
    assert not output.exists()
    return errors.strip()


def test_each_fault_has_one_sentence_and_its_exit_code(stock: Path) -> None:
    assert "holds no tokenizer.json; a byte-level BPE is needed" in told(stock, code=2)
    (stock / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    assert "tokenizer.json: " in told(stock, code=2)


@pytest.fixture
def with_tokenizer(stock: Path) -> Path:
    """The same with a tokenizer of bytes alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<|endoftext|>": 0, **{token: index + 1 for index, token in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(stock / "tokenizer.json"))
    return stock


def test_settings_end_with_2_and_damaged_files_with_1(with_tokenizer: Path) -> None:
    config, weights = with_tokenizer / "config.json", with_tokenizer / "model.safetensors"
    lines = told(with_tokenizer, code=1).splitlines()
    assert len(lines) == 1
    assert "the weights lack model.embed_tokens.weight of shape (257, 8)" in lines[0]
    weights.write_bytes(weights.read_bytes()[:-4])
    assert "model.safetensors: damaged: it ends at byte" in told(with_tokenizer, code=1)
    weights.unlink()
    assert "holds neither model.safetensors nor" in told(with_tokenizer, code=2)
    config.write_text(json.dumps({**CONFIG, "model_type": "phi4"}))
    assert "model_type: not among those archsmith reads" in told(with_tokenizer, code=2)

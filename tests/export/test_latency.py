import pytest
from export_helpers import CARRIED, llama, make

from archsmith.errors import ExportError
from archsmith.export.latency import MadeUpVocabulary, decode_ms_per_token, write_random
from archsmith.export.layout import gguf_num_bytes, tokenizer_num_bytes
from archsmith.export.llamacpp import LlamaCpp


def test_more_layers_take_longer():
    shape = {"hidden_size": 256, "heads": 4, "head_dim": 64, "inner": 768, "quantization": "Q8_0"}
    small, large = make(layers=1, **shape), make(layers=8, **shape)
    fast, slow = decode_ms_per_token([small, large], context_position=5, rounds=3)
    assert fast.min_ms * 2 < slow.min_ms
    assert slow.repeats == 3
    assert slow.context_position == 5


def test_the_place_is_half_of_the_context_unless_given():
    (found,) = decode_ms_per_token([CARRIED["Granite-SWA"](context=50)], rounds=1)
    assert found.context_position == 25


@pytest.mark.parametrize("vocab_size", [258, 300, 70_000])
def test_random_files_have_the_bytes_of_real_ones(tmp_path, vocab_size):
    architecture = llama(vocab_size=vocab_size, quantization="Q4_K_M", layers=1)
    vocabulary = MadeUpVocabulary(vocab_size)
    assert len(set(vocabulary.tokens())) == vocab_size
    write_random(tmp_path / "x.gguf", architecture)
    expected = gguf_num_bytes(architecture, tokenizer_num_bytes(vocabulary))
    assert (tmp_path / "x.gguf").stat().st_size == expected


@pytest.mark.parametrize("family", ["Mixtral", "Qwen2-MoE", "MiMo-V2-Flash", "Padded Llama"])
def test_random_files_of_every_kind_can_be_timed(tmp_path, family):
    architecture = CARRIED[family](quantization="Q4_K_M", hidden_size=96, head_dim=24, inner=256)
    write_random(tmp_path / "x.gguf", architecture)
    vocabulary = tokenizer_num_bytes(MadeUpVocabulary(architecture.vocab_size))
    assert (tmp_path / "x.gguf").stat().st_size == gguf_num_bytes(architecture, vocabulary)
    with LlamaCpp(tmp_path / "x.gguf", context_tokens=32) as model:
        assert model.decode_ms_per_token(context_position=5, repeats=2).min_ms > 0


def test_what_cannot_be_exported_cannot_be_measured():
    with pytest.raises(ExportError, match="no stock model class"):
        decode_ms_per_token([llama(lm_head_bias=True)])

import numpy as np
import pytest
from export_helpers import llama, make_tokenizer, write_gguf
from gguf import GGMLQuantizationType
from gguf.quants import quantize as numpy_quantize

from archsmith.errors import ConfigError, ExportError
from archsmith.export.llamacpp import LlamaCpp, choose, dequantize, log_softmax, quantize
from archsmith.export.quantization import GGML_TYPES

WINDOW = list(range(3, 40))


@pytest.fixture(scope="module")
def model(gguf_file):
    with LlamaCpp(gguf_file[0], context_tokens=64, cache_type="f32") as model:
        yield model


def test_says_what_the_file_holds(model, gguf_file):
    architecture = gguf_file[1]
    assert model.vocab_size == architecture.vocab_size
    assert model.max_position_embeddings == architecture.max_position_embeddings
    assert model.num_params == architecture.num_params
    assert (model.bos_token_id, model.eos_token_id, model.add_bos_token) == (0, 0, True)
    found = model.metadata()
    assert found["general.architecture"] == "llama"
    assert found["llama.block_count"] == str(architecture.num_hidden_layers)


def test_windows_do_not_see_each_other(model):
    first = model.logits(WINDOW)
    model.logits([200, 201, 202])
    assert np.array_equal(model.logits(WINDOW), first)


def test_no_position_sees_the_future(model):
    changed = [*WINDOW[:-1], 99]
    difference = np.abs(model.logits(WINDOW) - model.logits(changed)).max(axis=1)
    assert difference[:-1].max() == 0
    assert difference[-1] > 0.1


def test_decoding_token_by_token_gives_the_window_s_logits(model):
    model.reset()
    steps = np.concatenate([model.decode([token]) for token in WINDOW])
    np.testing.assert_allclose(steps, model.logits(WINDOW), atol=1e-4)


def test_windows_longer_than_a_batch_are_whole(tmp_path):
    path = tmp_path / "long.gguf"
    write_gguf(path, llama(context=600, layers=1))
    tokens = np.random.default_rng(0).integers(1, 280, 520).tolist()
    with LlamaCpp(path, context_tokens=600, cache_type="f32") as model:
        whole = model.logits(tokens)
        assert whole.shape == (520, 280)
        np.testing.assert_allclose(model.logits(tokens[:300]), whole[:300], atol=1e-4)
        for num_scored in (519, 300, 263, 3):
            expected = -log_softmax(whole[:-1])[np.arange(519), tokens[1:]]
            nats = model.token_nats(tokens, num_scored)
            np.testing.assert_allclose(nats, expected[-num_scored:], atol=1e-4)


def test_scores_only_what_has_something_before_it(model):
    with pytest.raises(ConfigError, match="num_scored must be below"):
        model.token_nats(WINDOW, len(WINDOW))


def test_greedy_generation_follows_the_largest_logit(model):
    made = model.generate(WINDOW[:5], max_new_tokens=6, stop_at_end=False)
    logits = model.logits([*WINDOW[:5], *made])
    assert made == logits[4:-1].argmax(axis=1).tolist()


def test_sampling_depends_on_the_seed_alone(model):
    def sample(seed):
        return model.generate(WINDOW, max_new_tokens=12, temperature=1.5, top_k=40, seed=seed)

    assert sample(1) == sample(1)
    assert len({tuple(sample(seed)) for seed in range(4)}) > 1


def test_generation_stops_at_the_end_of_the_context(model):
    made = model.generate(WINDOW, max_new_tokens=1000, stop_at_end=False)
    assert len(made) == 64 - len(WINDOW)


def test_choose_keeps_the_top_k():
    logits = np.array([0.0, 3.0, 2.9, -1.0], dtype=np.float32)
    rng = np.random.default_rng(0)
    drawn = {choose(logits, temperature=5.0, top_k=2, rng=rng) for _ in range(50)}
    assert drawn == {1, 2}
    assert choose(logits, temperature=0.0, top_k=None, rng=rng) == 1


@pytest.mark.parametrize("pre_tokenizer", ["gpt-2", "llama-bpe", "qwen2"])
def test_tokenizes_as_our_tokenizer(tmp_path, pre_tokenizer):
    path = tmp_path / "t.gguf"
    tokenizer = make_tokenizer(400, pre_tokenizer)
    write_gguf(path, llama(vocab_size=400), tokenizer=tokenizer)
    text = "Abc def 12345 don't\n\n  WE'LL   🙂\t<|endoftext|> été 日本"
    with LlamaCpp(path, context_tokens=64) as model:
        ids = model.tokenize(text)
        assert ids == tokenizer.encode(text)
        assert 0 not in ids
        assert model.tokenize("a<|endoftext|>", add_special=True, parse_special=True) == [0, 98, 0]
        pieces = model.token_pieces()
    assert pieces == [tokenizer.decode_bytes([index]) for index in range(400)]


def test_timing_has_its_spread(model):
    found = model.decode_ms_per_token(context_position=20, repeats=5)
    assert 0 < found.min_ms <= found.median_ms <= found.max_ms
    assert (found.repeats, found.context_position, found.num_threads) == (5, 20, 1)


def test_a_window_beyond_the_context_is_refused(model):
    with pytest.raises(ExportError, match=r"\d+ tokens are longer than the context of 64"):
        model.logits([1] * 300)


def test_unknown_token_ids_are_refused(model):
    with pytest.raises(ConfigError, match=r"must lie in \[0, 280\)"):
        model.logits([1, 280])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.gguf: no such file"):
        LlamaCpp(tmp_path / "none.gguf", context_tokens=8)


def test_llama_cpp_s_words_are_passed_on(gguf_file, tmp_path, capfd):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf_file[0].read_bytes()[:-5000])
    with pytest.raises(ExportError, match="not within the file bounds"):
        LlamaCpp(cut, context_tokens=8)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_0", "Q5_1"])
def test_quantizes_as_the_gguf_package_does(kind):
    rows = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    expected = numpy_quantize(rows, GGMLQuantizationType[kind])
    assert np.array_equal(quantize(kind, rows), expected)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("F32", 0.0), ("F16", 3e-4), ("Q8_0", 0.006), ("Q6_K", 0.02), ("Q5_K", 0.04), ("Q4_K", 0.08)],
)
def test_error_of_each_type_is_what_its_bits_allow(kind, error):
    rows = np.random.default_rng(0).normal(size=(8, 256)).astype(np.float32)
    stored = quantize(kind, rows)
    assert stored.shape == (8, GGML_TYPES[kind].row_bytes(256))
    found = dequantize(kind, stored)
    assert np.sqrt(((found - rows) ** 2).mean()) <= error


def test_rows_that_blocks_do_not_divide_are_refused():
    with pytest.raises(ExportError, match="Q4_K needs rows of a multiple of 256, got 96"):
        quantize("Q4_K", np.zeros((2, 96), dtype=np.float32))

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Corpus, Split
from archsmith.data.pre_tokenizers import PRE_TOKENIZERS
from archsmith.data.threads import threads
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, CorpusError


@pytest.fixture(scope="module")
def trained(small_corpus: Corpus) -> dict[str, Tokenizer]:
    return {
        name: Tokenizer.train(small_corpus, vocab_size=400, pre_tokenizer=name)
        for name in PRE_TOKENIZERS
    }


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60))
@example("a<|endoftext|>b")
@example("  \r\n\n\t 12345'S don't\u00a0\u2028\u3000戦場 \u0e01\u0e33 \U0001f469\u200d\U0001f4bb")
def test_any_text_comes_back(trained: dict[str, Tokenizer], text: str) -> None:
    for tokenizer in trained.values():
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert tokenizer.token_bytes[np.array(ids, dtype=int)].sum() == len(text.encode())


def test_no_text_can_spell_the_document_token(trained: dict[str, Tokenizer]) -> None:
    for tokenizer in trained.values():
        assert tokenizer.document_token == "<|endoftext|>"
        assert tokenizer.document_token_id == 0
        assert 0 not in tokenizer.encode("one <|endoftext|> two")
        assert tokenizer.encode_batch(["<|endoftext|>"]) == [tokenizer.encode("<|endoftext|>")]
        assert tokenizer.decode([0]) == ""


def test_the_order_of_entries(trained: dict[str, Tokenizer]) -> None:
    for tokenizer in trained.values():
        tokens, merges = tokenizer.tokens(), tokenizer.merges()
        assert len(tokens) == tokenizer.vocab_size == len(tokenizer.token_bytes) == 400
        assert tokenizer.token_bytes[:257].tolist() == [0] + [1] * 256
        assert {tokenizer.decode_bytes([i]) for i in range(1, 257)} == {
            bytes([byte]) for byte in range(256)
        }
        made = list(dict.fromkeys(merge.replace(" ", "") for merge in merges))
        assert made == tokens[257:]


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_prefix_is_what_training_at_that_size_gives(
    trained: dict[str, Tokenizer], small_corpus: Corpus, name: str
) -> None:
    prefix = trained[name].prefix(320)
    direct = Tokenizer.train(small_corpus, vocab_size=320, pre_tokenizer=name)
    assert prefix.tokens() == direct.tokens() == trained[name].tokens()[:320]
    assert prefix.merges() == direct.merges()
    assert prefix.hash == direct.hash != trained[name].hash
    text = next(small_corpus.documents(Split.SEARCH))
    assert prefix.encode(text) == direct.encode(text)
    assert prefix.encode_batch([text, "a"]) == [prefix.encode(text), prefix.encode("a")]


def test_the_smallest_prefix_is_bytes(small_tokenizer: Tokenizer) -> None:
    smallest = small_tokenizer.prefix(257)
    assert smallest.merges() == []
    assert len(smallest.encode("grün")) == 5
    for size in (256, 401):
        with pytest.raises(ConfigError, match=f"{size} is outside 257 to 400"):
            small_tokenizer.prefix(size)


def test_training_repeats(small_corpus: Corpus, small_tokenizer: Tokenizer) -> None:
    assert Tokenizer.train(small_corpus, vocab_size=400).hash == small_tokenizer.hash


def test_a_vocabulary_beyond_the_corpus_is_refused(small_corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"supports only ([\d,]+) entries") as caught:
        Tokenizer.train(small_corpus, vocab_size=50_000)
    supported = int(
        str(caught.value).split("at most ")[1].split(";")[0].split(", or")[0].replace(",", "")
    )
    assert Tokenizer.train(small_corpus, vocab_size=supported).vocab_size == supported


def test_wrong_settings_are_refused(small_corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match=r"unknown .*gpt2.; did you mean .gpt-2"):
        Tokenizer.train(small_corpus, vocab_size=300, pre_tokenizer="gpt2")
    with pytest.raises(ConfigError, match="200 is below 257"):
        Tokenizer.train(small_corpus, vocab_size=200)


def test_a_sample_is_enough_to_train_on(small_corpus: Corpus) -> None:
    part = Tokenizer.train(small_corpus, vocab_size=300, max_bytes=60_000)
    whole = Tokenizer.train(small_corpus, vocab_size=300, max_bytes=None)
    assert part.hash != whole.hash
    assert len(set(part.tokens()) & set(whole.tokens())) > 285


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_saved_tokenizer_is_the_same(
    trained: dict[str, Tokenizer], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "tokenizer.json"
    trained[name].save(path)
    read = Tokenizer.from_file(path)
    assert read.hash == trained[name].hash
    assert read.pre_tokenizer == name
    assert read.prefix(300).hash == trained[name].prefix(300).hash


def test_digits_are_grouped_as_each_pre_tokenizer_says(trained: dict[str, Tokenizer]) -> None:
    groups = {
        name: [
            piece for piece, _ in tokenizer._backend.pre_tokenizer.pre_tokenize_str("12345\n\n x")
        ]
        for name, tokenizer in trained.items()
    }
    assert groups["gpt-2"] == ["12345", "ĊĊ", "Ġx"]
    assert groups["llama-bpe"] == ["123", "45", "ĊĊ", "Ġx"]
    assert groups["qwen2"] == ["1", "2", "3", "4", "5", "ĊĊ", "Ġx"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_transformers_reads_it_and_agrees(
    trained: dict[str, Tokenizer], tmp_path: Path, make_text: Callable, name: str
) -> None:
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tokenizer.json"
    trained[name].save(path)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    text = make_text(2000) + "12345 don't\r\n\t  戦場"
    assert fast(text, add_special_tokens=False)["input_ids"] == trained[name].encode(text)


def edited(path: Path, tokenizer: Tokenizer, change: Callable[[dict], None]) -> Path:
    tokenizer.save(path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def rename_document_token(data: dict) -> None:
    data["added_tokens"][0]["content"] = "<doc>"
    data["model"]["vocab"]["<doc>"] = data["model"]["vocab"].pop("<|endoftext|>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["model"].update(byte_fallback=True), "this one is BPE with byte fallb"),
        (lambda data: data.update(normalizer={"type": "Lowercase"}), "normalizer Lowercase chan"),
        (lambda data: data["pre_tokenizer"].update(add_prefix_space=True), "none of gpt-2, llama"),
        (lambda data: data.update(pre_tokenizer={"type": "Whitespace"}), "none of gpt-2, llama"),
        (lambda data: data["model"]["vocab"].pop("!"), "1 of the 256 bytes have no token"),
        (rename_document_token, "no document token: none of <|endoftext|>, </s>"),
        (lambda data: data.pop("model"), "not a tokenizer.json"),
    ],
)
def test_files_of_another_kind_are_refused(
    tmp_path: Path, small_tokenizer: Tokenizer, change: Callable[[dict], None], message: str
) -> None:
    path = edited(tmp_path / "tokenizer.json", small_tokenizer.prefix(257), change)
    with pytest.raises(ConfigError) as caught:
        Tokenizer.from_file(path)
    assert message in str(caught.value)
    assert "tokenizer.json: " in str(caught.value)


def test_a_missing_file_and_another_document_token(
    tmp_path: Path, small_tokenizer: Tokenizer
) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Tokenizer.from_file(tmp_path / "none.json")
    path = edited(tmp_path / "t.json", small_tokenizer, rename_document_token)
    assert Tokenizer.from_file(path, document_token="<doc>").document_token_id == 0


def test_unicode_normalization_is_dropped_with_a_warning(
    tmp_path: Path, small_tokenizer: Tokenizer
) -> None:
    path = edited(
        tmp_path / "t.json", small_tokenizer, lambda data: data.update(normalizer={"type": "NFC"})
    )
    with pytest.warns(UserWarning, match="NFC"):
        read = Tokenizer.from_file(path)
    assert read.decode(read.encode("u\u0308")) == "u\u0308"


def test_ids_out_of_merge_order_cannot_be_cut(tmp_path: Path, small_tokenizer: Tokenizer) -> None:
    def swap(data: dict) -> None:
        merges = data["model"]["merges"]
        merges[0], merges[-1] = merges[-1], merges[0]

    read = Tokenizer.from_file(edited(tmp_path / "t.json", small_tokenizer, swap))
    with pytest.raises(ConfigError, match="cannot be cut to 300 entries: its ids do not follow"):
        read.prefix(300)


def test_gpt2s_own_layout_is_read_but_cannot_be_cut(
    tmp_path: Path, small_tokenizer: Tokenizer
) -> None:
    vocab = {token: index for index, token in enumerate(small_tokenizer.tokens()[1:])}
    merges = [tuple(merge.split(" ")) for merge in small_tokenizer.merges()]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    backend.add_tokens(["<keyword>"])
    backend.save(str(tmp_path / "gpt2.json"))
    read = Tokenizer.from_file(tmp_path / "gpt2.json")
    assert read.document_token_id == 399
    assert (read.special_token_ids(), read.added_token_ids()) == ([399], [399, 400])
    assert read.token_bytes[[399, 400]].tolist() == [0, len("<keyword>")]
    text = "x <keyword> lomi <|endoftext|>"
    assert read.decode(read.encode(text)) == text
    assert 399 not in read.encode(text)
    with pytest.raises(ConfigError, match=r"'<\|endoftext\|>' has an id after the merged tokens"):
        read.prefix(300)


def test_the_number_of_threads_is_set_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    with threads(1):
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    with threads(3):
        assert os.environ["RAYON_NUM_THREADS"] == "3"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert "RAYON_NUM_THREADS" not in os.environ

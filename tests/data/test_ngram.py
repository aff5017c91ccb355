import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.floors import byte_stream, text_bytes
from archsmith.data.ngram import NGramModel
from archsmith.data.protocol import ScoringProtocol
from archsmith.errors import ConfigError, CorpusError


def as_stream(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)


@settings(max_examples=15, deadline=None)
@given(
    training=st.binary(min_size=9, max_size=60) | st.text("ab ", min_size=9).map(str.encode),
    context=st.binary(max_size=9) | st.text("ab ", max_size=9).map(str.encode),
    order=st.integers(1, 8),
)
def test_probabilities_sum_to_one(training: bytes, context: bytes, order: int) -> None:
    model = NGramModel.fit_stream(as_stream(training), order=order)
    last = [
        model.probabilities(as_stream(context + bytes([byte])))[-1].item() for byte in range(256)
    ]
    assert sum(last) == pytest.approx(1.0)
    assert min(last) > 0


def kneser_ney(training: bytes, context: bytes, byte: int, discounts: list[float]) -> float:
    """The textbook recursion, with sets."""

    def counts(length: int) -> dict[bytes, int]:
        if length == len(discounts):
            runs = [training[i : i + length] for i in range(len(training) - length + 1)]
            return {run: runs.count(run) for run in runs}
        longer = set(counts(length + 1))
        shorter = [run[1:] for run in longer]
        return {run: shorter.count(run) for run in shorter}

    probability = 1 / 256
    for length in range(1, len(discounts) + 1):
        if len(context) < length - 1:
            break
        before = context[len(context) - length + 1 :]
        after = {run: n for run, n in counts(length).items() if run[:-1] == before}
        if after:
            discount = discounts[length - 1]
            kept = max(after.get(before + bytes([byte]), 0) - discount, 0)
            probability = (kept + discount * len(after) * probability) / sum(after.values())
    return probability


def test_it_is_the_textbook_recursion() -> None:
    training = b"abracadabra, abrakadabra; a barn"
    model = NGramModel.fit_stream(as_stream(training), order=4)
    discounts = [order.discount for order in model._orders]
    text = b"a bra zbrak"
    found = model.probabilities(as_stream(text))
    expected = [kneser_ney(training, text[:i], text[i], discounts) for i in range(len(text))]
    np.testing.assert_allclose(found, expected)


def test_it_learns_the_text(small_corpus: Corpus) -> None:
    bits = [
        NGramModel.fit(small_corpus, order=order).score(small_corpus, Split.SEARCH).bits_per_byte
        for order in (1, 3, 6)
    ]
    assert bits[0] > bits[1] > bits[2]
    stream = byte_stream(small_corpus, Split.TRAIN)
    share = np.bincount(stream, minlength=256) / len(stream)
    held_out = byte_stream(small_corpus, Split.SEARCH)
    assert bits[0] == pytest.approx(
        -np.log2(np.maximum(share[held_out[1:]], 1e-9)).sum() / text_bytes(held_out).sum(), rel=0.03
    )


def test_its_score_has_the_blocks_of_every_score(small_corpus: Corpus) -> None:
    protocol = ScoringProtocol(block_bytes=1000, max_bytes=4500)
    found = NGramModel.fit(small_corpus, order=3).score(small_corpus, Split.TEST, protocol)
    assert found.block_bytes == (1000, 1000, 1000, 1000, 500)
    assert sum(found.block_nats) == pytest.approx(found.nats)
    assert found.bits_per_byte == pytest.approx(found.nats / math.log(2) / 4500)


def test_documents_are_joined_as_the_protocol_does(small_corpus: Corpus, tmp_path: Path) -> None:
    texts = list(small_corpus.documents(Split.SEARCH))
    stream = byte_stream(small_corpus, Split.SEARCH)
    assert stream.tobytes() == b"".join(b"\0" + text.encode() for text in texts)
    assert text_bytes(stream).sum() == small_corpus.split_bytes(Split.SEARCH)
    for cut in (1, 999, 10**9):
        expected = min(cut, small_corpus.split_bytes(Split.SEARCH))
        part = byte_stream(small_corpus, Split.SEARCH, max_bytes=cut)
        assert text_bytes(part).sum() == expected
        assert (stream[: len(part)] == part).all()
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"{name}\n\n" * 90_000)
    config = CorpusConfig(files=("a",), validation_files=("b",), test_files=("c",), continuous=True)
    corpus = Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    assert byte_stream(corpus, Split.TRAIN).tobytes() == b"\0" + b"a\n\n" * 90_000


def test_wrong_orders_and_too_little_text_are_refused() -> None:
    with pytest.raises(ConfigError, match="order: 9 is outside 1 to 8"):
        NGramModel.fit_stream(as_stream(b"a" * 99), order=9)
    with pytest.raises(CorpusError, match="3 bytes are too few for an n-gram model of 3"):
        NGramModel.fit_stream(as_stream(b"abc"), order=3)

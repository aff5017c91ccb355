import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Corpus, Split
from archsmith.data.protocol import ScoringProtocol, Window, plan, score, summarize, windows
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, CorpusError

BYTE_NATS = 0.01 * np.arange(1, 6)  # nats of each id of the toy stream, so 0.01 a byte and one


def toy(folder: Path, ids: list[int]) -> TokenFile:
    """Ids 0 to 4 stand for 0 to 4 bytes."""
    return TokenFile.from_tokens(
        np.array([0, *ids]), folder / "toy.tokens", token_bytes=np.arange(5)
    )


def nats_of(window: Window) -> np.ndarray:
    return BYTE_NATS[window.tokens[-window.num_scored :]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    num_tokens=st.integers(2, 90),
    context=st.integers(1, 30),
    share=st.floats(0.01, 1.0),
    max_tokens=st.none() | st.integers(2, 100),
)
def test_every_token_but_the_first_is_scored_once(
    folder: Path, num_tokens: int, context: int, share: float, max_tokens: int | None
) -> None:
    stride = max(1, round(share * context))
    stream = TokenFile.from_tokens(
        np.arange(num_tokens), folder / "count.tokens", token_bytes=np.arange(num_tokens)
    )
    scored: list[int] = []
    for window in windows(
        stream, context_tokens=context, stride_tokens=stride, max_tokens=max_tokens
    ):
        assert len(window.tokens) <= context + 1
        assert window.num_scored < len(window.tokens)
        assert window.tokens[-window.num_scored] == window.start
        before = len(window.tokens) - window.num_scored
        assert before >= min(window.start, context + 1 - stride)  # each has its context
        scored += window.tokens[-window.num_scored :].tolist()
    assert scored == list(range(1, min(num_tokens, max_tokens or num_tokens)))


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.integers(0, 4), min_size=1, max_size=60).filter(any),
    block_bytes=st.integers(1, 40),
    max_bytes=st.none() | st.integers(1, 150),
)
def test_every_byte_counts_once_and_blocks_add_up(
    folder: Path, ids: list[int], block_bytes: int, max_bytes: int | None
) -> None:
    stream = toy(folder, ids)
    protocol = ScoringProtocol(
        context_bytes=9, stride_bytes=4, block_bytes=block_bytes, max_bytes=max_bytes
    )
    found = score(stream, protocol, max_position_embeddings=64, nats_of=nats_of)
    assert found.num_bytes == min(sum(ids), max_bytes or sum(ids))
    assert sum(found.block_bytes) == found.num_bytes
    assert set(found.block_bytes[:-1]) <= {block_bytes}
    assert sum(found.block_nats) == pytest.approx(found.nats)
    assert min(found.block_nats) > 0
    assert found.bits_per_byte == pytest.approx(found.nats / math.log(2) / found.num_bytes)
    if max_bytes is None:
        assert found.num_tokens == len(ids)
        assert found.nats == pytest.approx(sum(0.01 * (i + 1) for i in ids))


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(st.integers(1, 4), min_size=2, max_size=60),
    block_bytes=st.integers(1, 40),
    max_bytes=st.none() | st.integers(1, 100),
)
def test_blocks_do_not_depend_on_how_the_text_is_cut(
    folder: Path, ids: list[int], block_bytes: int, max_bytes: int | None
) -> None:
    """A model that pays the same for every byte has the same blocks with any tokenizer."""
    protocol = ScoringProtocol(block_bytes=block_bytes, max_bytes=max_bytes)
    scores = [
        score(
            toy(folder, cut),
            protocol,
            max_position_embeddings=64,
            nats_of=lambda window: 0.5 * window.tokens[-window.num_scored :].astype(np.float64),
        )
        for cut in (ids, [1] * sum(ids))
    ]
    assert scores[0].block_bytes == scores[1].block_bytes
    assert scores[0].block_nats == pytest.approx(scores[1].block_nats)


def test_a_known_score(folder: Path) -> None:
    stream = toy(folder, [2, 0, 3, 3])
    found = score(
        stream,
        ScoringProtocol(block_bytes=4),
        max_position_embeddings=8,
        nats_of=lambda window: np.array([1.0, 5.0, 3.0, 6.0]),
    )
    # block one: a whole token, the document token, two bytes of three of the next
    assert found.block_nats == pytest.approx((1 + 5 + 2, 1 + 6))
    assert found.block_bytes == (4, 4)
    assert found.bits_per_byte == pytest.approx(15 / 8 / math.log(2))


def test_windows_cover_bytes_whatever_the_vocabulary() -> None:
    protocol = ScoringProtocol(context_bytes=2000, stride_bytes=1000)
    assert protocol.context_tokens(4.0, 4096) == 500
    assert protocol.context_tokens(2.5, 4096) == 800
    assert protocol.context_tokens(2.5, 256) == 256
    assert protocol.stride_tokens(4.0, 4096) == 250
    assert protocol.stride_tokens(4.0, 100) == 100
    assert protocol.stride_tokens(5000.0, 100) == protocol.context_tokens(5000.0, 100) == 1


def test_only_the_beginning_is_read_when_asked(folder: Path) -> None:
    stream = toy(folder, [4, 0, 4, 0, 4, 0, 4])
    read: list[int] = []

    def remember(window: Window) -> np.ndarray:
        read.append(window.num_scored)
        return nats_of(window)

    found = score(
        stream, ScoringProtocol(max_bytes=6), max_position_embeddings=64, nats_of=remember
    )
    assert sum(read) == found.num_tokens == 3
    assert found.nats == pytest.approx(0.05 + 0.01 + 0.05 / 2)


def test_a_scorer_may_read_windows_together(
    small_corpus: Corpus, small_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    stream = TokenFile.build(small_corpus, Split.SEARCH, small_tokenizer, tmp_path)
    protocol = ScoringProtocol(context_bytes=300, stride_bytes=100, block_bytes=512)
    rng = np.random.default_rng(0)
    table = rng.random(stream.num_tokens)

    def look_up(window: Window) -> np.ndarray:
        return table[window.start : window.start + window.num_scored]

    found = score(stream, protocol, max_position_embeddings=512, nats_of=look_up)
    made = plan(stream, protocol, max_position_embeddings=512)
    assert summarize(stream, protocol, made, table[1:]) == found
    assert found.num_bytes == small_corpus.split_bytes(Split.SEARCH)


def test_impossible_requests_are_refused(folder: Path) -> None:
    stream = toy(folder, [1, 2])
    with pytest.raises(ConfigError, match="stride_tokens: 5 is outside 1 to context_tokens = 4"):
        next(windows(stream, context_tokens=4, stride_tokens=5))
    with pytest.raises(CorpusError, match="holds no text to score"):
        plan(toy(folder, [0]), ScoringProtocol(), max_position_embeddings=8)

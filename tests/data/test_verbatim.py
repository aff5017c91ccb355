import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.corpus import Corpus, Split
from archsmith.data.verbatim import VerbatimIndex, build_index, longest_copied, window_hashes
from archsmith.errors import ConfigError


@pytest.fixture(scope="module")
def index(small_corpus: Corpus) -> VerbatimIndex:
    return build_index(small_corpus)


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=80), window=st.integers(4, 40))
def test_equal_windows_and_only_they_have_equal_hashes(data: bytes, window: int) -> None:
    data = data + data[:50]
    hashes = window_hashes(data, window).tolist()
    windows = [data[i : i + window] for i in range(len(data) - window + 1)]
    assert len(hashes) == len(windows)
    assert len(set(hashes)) == len(set(windows))
    assert len(set(zip(hashes, windows, strict=True))) == len(set(windows))


def test_training_text_is_recognized(small_corpus: Corpus, index: VerbatimIndex) -> None:
    copy = next(small_corpus.documents(Split.TRAIN)).encode()[40:440]
    whole = longest_copied(copy, index)
    assert whole == (1.0, 400, 400)
    mixed = longest_copied(b"#" * 300 + copy[:100] + b"#" * 50 + copy[200:250], index)
    assert mixed.longest_bytes == 100
    assert mixed.share == pytest.approx(150 / 500)
    assert index.covered == 1.0


def test_new_text_and_copies_below_the_window_are_not(
    small_corpus: Corpus, index: VerbatimIndex
) -> None:
    copy = next(small_corpus.documents(Split.TRAIN)).encode()[40:440]
    assert longest_copied(copy[:31], index) == (0.0, 0, 31)
    assert longest_copied(b"#".join([copy[:31]] * 9), index).longest_bytes == 0
    assert longest_copied(bytes(range(33, 127)) * 9, index).share == 0.0
    assert longest_copied(b"", index) == (0.0, 0, 0)


def test_the_window_can_be_chosen(small_corpus: Corpus) -> None:
    short = build_index(small_corpus, window_bytes=9)
    copy = next(small_corpus.documents(Split.TRAIN)).encode()[40:49]
    assert longest_copied(b"###" + copy + b"###", short) == (9 / 15, 9, 15)
    with pytest.raises(ConfigError, match="window_bytes: 3 is below 4"):
        build_index(small_corpus, window_bytes=3)


def test_a_large_corpus_is_sampled(small_corpus: Corpus, index: VerbatimIndex) -> None:
    part = build_index(small_corpus, max_bytes=60_000)
    assert 0.1 < part.covered < 0.9
    assert 0 < len(part.hashes) < len(index.hashes)
    assert set(part.hashes.tolist()) <= set(index.hashes.tolist())

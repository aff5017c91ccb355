import lzma
from pathlib import Path

import pytest

from archsmith.data.compressors import xz_bits_per_byte
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.errors import ConfigError


def test_training_text_helps(small_corpus: Corpus) -> None:
    found = xz_bits_per_byte(small_corpus, Split.SEARCH)
    assert found.num_bytes == small_corpus.split_bytes(Split.SEARCH)
    assert 1.0 < found.bits_per_byte < found.bits_per_byte_alone < 8.0
    train = b"".join(b"\0" + text.encode() for text in small_corpus.documents(Split.TRAIN))
    assert found.train_bytes == len(train)
    held_out = b"".join(b"\0" + text.encode() for text in small_corpus.documents(Split.SEARCH))
    added = [
        len(lzma.compress(data, check=lzma.CHECK_NONE, preset=9))
        for data in (train, train + held_out)
    ]
    assert found.bits_per_byte == 8 * (added[1] - added[0]) / found.num_bytes


def test_only_the_last_training_text_is_used(small_corpus: Corpus) -> None:
    some = xz_bits_per_byte(small_corpus, Split.SEARCH, max_train_bytes=20_000, max_bytes=3000)
    assert (some.train_bytes, some.num_bytes) == (20_000, 3000)
    none = xz_bits_per_byte(small_corpus, Split.SEARCH, max_train_bytes=0)
    assert none.train_bytes == 0
    assert none.bits_per_byte == pytest.approx(none.bits_per_byte_alone, rel=0.02)


def test_held_out_text_seen_in_training_costs_nearly_nothing(tmp_path: Path) -> None:
    text = "".join(f"{number * number}: {number**5}\n\n" for number in range(4000))
    for name in ("train", "valid", "test"):
        (tmp_path / name).write_text(text)
    config = CorpusConfig(
        files=("train",), validation_files=("valid",), test_files=("test",), continuous=True
    )
    corpus = Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    assert xz_bits_per_byte(corpus, Split.TEST).bits_per_byte < 0.02


def test_more_than_the_dictionary_is_refused(small_corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="how far xz -9 looks back"):
        xz_bits_per_byte(small_corpus, Split.SEARCH, max_train_bytes=65 << 20)

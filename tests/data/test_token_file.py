import os
from pathlib import Path

import numpy as np
import pytest

from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, CorpusError


@pytest.mark.parametrize("split", Split)
def test_the_stream_is_document_token_then_document(
    small_corpus: Corpus, small_tokenizer: Tokenizer, tmp_path: Path, split: Split
) -> None:
    heard: list[float] = []
    built = TokenFile.build(
        small_corpus, split, small_tokenizer, tmp_path, progress=heard.append, num_threads=1
    )
    expected: list[int] = []
    for text in small_corpus.documents(split):
        expected += [0, *small_tokenizer.encode(text)]
    assert built.tokens.dtype == np.uint16
    assert built.tokens.tolist() == expected
    assert built.num_tokens == len(expected)
    assert built.num_bytes == small_corpus.split_bytes(split)
    assert built.bytes_per_token == built.num_bytes / built.num_tokens
    assert heard[-1] == 1.0
    assert heard == sorted(heard)
    opened = TokenFile.open(built.path)
    assert opened.tokens.tolist() == expected
    assert opened.token_bytes.tolist() == small_tokenizer.token_bytes.tolist()
    assert (opened.split, opened.document_token_id) == (split, 0)
    assert (opened.corpus_hash, opened.tokenizer_hash) == (small_corpus.hash, small_tokenizer.hash)


def test_it_is_built_once_and_again_when_damaged(
    small_corpus: Corpus, small_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    built = TokenFile.build(small_corpus, Split.TEST, small_tokenizer, tmp_path)
    content = built.path.read_bytes()
    os.utime(built.path, (1, 1))

    def build() -> bool:
        """Whether the file was written again."""
        again = TokenFile.build(small_corpus, Split.TEST, small_tokenizer, tmp_path)
        assert again.path.read_bytes() == content
        written = again.path.stat().st_mtime != 1
        os.utime(again.path, (1, 1))
        return written

    assert not build()
    built.path.write_bytes(content[:-2])
    with pytest.raises(CorpusError, match="damaged"):
        TokenFile.open(built.path)
    assert build()
    built.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert build()
    manifest = built.path.with_name(built.path.name + ".json")
    manifest.write_text(manifest.read_text()[:50])
    assert build()
    manifest.unlink()
    assert build()
    assert not build()
    assert sorted(path.name for path in tmp_path.iterdir()) == [built.path.name, manifest.name]


def test_another_tokenizer_has_its_own_file(
    small_corpus: Corpus, small_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    first = TokenFile.build(small_corpus, Split.TEST, small_tokenizer, tmp_path)
    second = TokenFile.build(small_corpus, Split.TEST, small_tokenizer.prefix(300), tmp_path)
    assert first.path != second.path
    assert second.num_tokens > first.num_tokens
    assert second.num_bytes == first.num_bytes


def test_a_continuous_corpus_has_one_document_token(
    tmp_path: Path, small_tokenizer: Tokenizer, make_text: object
) -> None:
    assert callable(make_text)
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text(make_text(200_000), encoding="utf-8")
    config = CorpusConfig(
        files=("train.txt",),
        validation_files=("valid.txt",),
        test_files=("test.txt",),
        continuous=True,
    )
    corpus = Corpus.prepare(config, tmp_path / "corpus", root=tmp_path)
    assert corpus.split_documents(Split.TRAIN) > 1
    built = TokenFile.build(corpus, Split.TRAIN, small_tokenizer, tmp_path)
    assert np.flatnonzero(built.tokens == 0).tolist() == [0]
    assert small_tokenizer.decode(built.tokens.tolist()) == (tmp_path / "train.txt").read_text()


def test_a_stream_of_ones_own(tmp_path: Path) -> None:
    ids = np.array([0, 70_000, 3, 0, 1])
    made = TokenFile.from_tokens(
        ids, tmp_path / "own.tokens", token_bytes=np.r_[0, np.full(70_000, 2)]
    )
    assert made.tokens.dtype == np.uint32
    assert made.tokens.tolist() == ids.tolist()
    assert (made.num_bytes, TokenFile.open(made.path).num_bytes) == (6, 6)
    with pytest.raises(ConfigError, match="ids must be 0 to 2"):
        TokenFile.from_tokens(ids, tmp_path / "x", token_bytes=np.array([0, 1, 1]))
    with pytest.raises(ConfigError, match="begin with the document token"):
        TokenFile.from_tokens(ids[1:], tmp_path / "x", token_bytes=np.ones(70_001, dtype=int))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no token file here"):
        TokenFile.open(tmp_path / "none.tokens")

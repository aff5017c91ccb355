"""The text of a study in the vocabularies of its candidates, opened once per process.

Reading a tokenizer, cutting it to a vocabulary and checking a file of tokens take most of a second;
a candidate whose process has met its vocabulary before starts in milliseconds.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer


def token_files(
    corpus: Path, tokenizer: Path, folder: Path, vocab_size: int, *, num_threads: int
) -> tuple[TokenFile, TokenFile]:
    """The training and search-validation text in a vocabulary, encoded if it is not yet.

    Raises ConfigError, CorpusError.
    """
    written = _written(tokenizer)
    return _token_files(corpus, tokenizer, folder, vocab_size, written, num_threads=num_threads)


def encoded_vocab_sizes(corpus: Path, tokenizer: Path, folder: Path) -> Iterator[int]:
    """Vocabularies that `token_files` finds encoded. Raises ConfigError, CorpusError."""
    written = _written(tokenizer)
    largest = _tokenizer(tokenizer, written).vocab_size
    origin = Corpus.open(corpus).hash[:8]
    # of the two files of a vocabulary the one that is written last
    for path in sorted(folder.glob(f"{Split.SEARCH.value}-{origin}-*.tokens.json")):
        vocab_size = int(path.name.split("-")[2])
        if vocab_size <= largest:
            prefix = _prefix(tokenizer, vocab_size, written)
            if path.name.endswith(f"-{prefix.hash[:8]}.tokens.json"):
                yield vocab_size


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=1)
def _tokenizer(path: Path, written: int) -> Tokenizer:
    return Tokenizer.from_file(path)


@lru_cache(maxsize=16)
def _prefix(path: Path, vocab_size: int, written: int) -> Tokenizer:
    return _tokenizer(path, written).prefix(vocab_size)


@lru_cache(maxsize=16)
def _token_files(
    corpus: Path, tokenizer: Path, folder: Path, vocab_size: int, written: int, *, num_threads: int
) -> tuple[TokenFile, TokenFile]:
    opened = Corpus.open(corpus)
    prefix = _prefix(tokenizer, vocab_size, written)
    train, search = (
        TokenFile.build(opened, split, prefix, folder, num_threads=num_threads)
        for split in (Split.TRAIN, Split.SEARCH)
    )
    return train, search

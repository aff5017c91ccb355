"""Small made-up texts, and corpora prepared from them."""

import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.tokenizer import Tokenizer

_SYLLABLES = ("ka", "lo", "mi", "ret", "su", "van", "dor", "eth", "ing", "pra", "zel", "ünd")


def invented_text(num_bytes: int, *, seed: int = 0, newline: str = "\n") -> str:
    """Paragraphs of invented words, at least `num_bytes` long, ending with a blank line."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(400)]
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(words))))
    paragraphs: list[str] = []
    written = 0
    while written < num_bytes:
        sentences = [
            " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(4, 12))).capitalize()
            + "."
            for _ in range(rng.randint(1, 6))
        ]
        paragraphs.append(newline.join(sentences) + 2 * newline)
        written += len(paragraphs[-1].encode())
    return "".join(paragraphs)


@pytest.fixture(scope="session")
def make_text() -> Callable[..., str]:
    return invented_text


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """About 150 kB of text in one file and a folder, with splits of at least 1 kB."""
    root = tmp_path_factory.mktemp("texts")
    (root / "long.txt").write_text(invented_text(100_000), encoding="utf-8")
    (root / "notes").mkdir()
    for number in range(60):
        text = invented_text(800, seed=number + 1)
        (root / "notes" / f"{number:02d}.md").write_text(text, encoding="utf-8")
    config = CorpusConfig(
        files=("long.txt", "notes"),
        validation_fraction=0.08,
        test_fraction=0.08,
        minimum_split_bytes=1024,
    )
    return Corpus.prepare(config, root / "corpus", root=root)


@pytest.fixture(scope="session")
def small_tokenizer(small_corpus: Corpus) -> Tokenizer:
    return Tokenizer.train(small_corpus, vocab_size=400)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """An empty folder for a test's own texts."""
    folder = tmp_path / "texts"
    folder.mkdir()
    return folder

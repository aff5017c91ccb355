"""A small corpus with its tokenizer, for tests of evaluators that train."""

import random
from pathlib import Path

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.tokenizer import Tokenizer

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ate", "one", "fish", "while", "dogs", "ran")


def make_corpus(folder: Path) -> dict[str, Path]:
    """Sixty documents of random words, prepared: the places an evaluator is told."""
    (folder / "text").mkdir()
    rng = random.Random(0)
    for number in range(60):
        lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(12)]
        (folder / "text" / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    config = CorpusConfig(
        files=(str(folder / "text"),),
        validation_fraction=0.1,
        test_fraction=0.1,
        minimum_split_bytes=256,
        near_duplicates=False,
    )
    corpus = Corpus.prepare(config, folder / "corpus")
    Tokenizer.train(corpus, vocab_size=280).save(folder / "tokenizer.json")
    return {
        "corpus": folder / "corpus",
        "tokenizer": folder / "tokenizer.json",
        "token_files": folder / "tokens",
    }

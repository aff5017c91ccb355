import random

import pytest
import torch

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.train.recipe import Recipe

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "ate", "one", "fish", "while", "dogs", "ran")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(0)
    for number in range(60):
        lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(12)]
        (folder / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    config = CorpusConfig(
        files=(str(folder),),
        validation_fraction=0.1,
        test_fraction=0.1,
        minimum_split_bytes=256,
        near_duplicates=False,
    )
    return Corpus.prepare(config, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def tokenizer(corpus):
    return Tokenizer.train(corpus, vocab_size=280)


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="session")
def tokens(corpus, tokenizer, token_folder):
    return TokenFile.build(corpus, Split.TRAIN, tokenizer, token_folder)


@pytest.fixture(scope="session")
def held_out(corpus, tokenizer, token_folder):
    return TokenFile.build(corpus, Split.SEARCH, tokenizer, token_folder)


@pytest.fixture
def recipe():
    return Recipe(batch_tokens=72, warmup_steps=3, dtype="float32")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

from pathlib import Path

import pytest

from archsmith.data.completion import prompts
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.errors import ConfigError, CorpusError


def test_prompts_are_held_out_text_and_its_continuation(small_corpus: Corpus) -> None:
    texts = list(small_corpus.documents(Split.SEARCH))
    made = prompts(small_corpus, Split.SEARCH, count=8, prompt_bytes=100, reference_bytes=80)
    assert len({prompt for prompt, _ in made}) == 8
    for prompt, reference in made:
        assert any(prompt + reference in text for text in texts)
        assert 0 < len(prompt.encode()) <= 100
        assert 32 <= len(reference.encode()) <= 80
    at_lines = [prompt.endswith("\n") for prompt, _ in made]
    assert any(at_lines)


def test_the_same_prompts_come_back_for_a_seed(small_corpus: Corpus) -> None:
    first = prompts(small_corpus, Split.SEARCH, count=5, seed=3)
    assert prompts(small_corpus, Split.SEARCH, count=5, seed=3) == first
    assert prompts(small_corpus, Split.SEARCH, count=5, seed=4) != first
    assert prompts(small_corpus, Split.SEARCH, count=3, seed=3) == first[:3]


def test_characters_stay_whole(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / name).write_text("戦場のü" * 9000, encoding="utf-8")
    config = CorpusConfig(
        files=("train",), validation_files=("valid",), test_files=("test",), continuous=True,
        minimum_split_bytes=1,
    )  # fmt: skip
    corpus = Corpus.prepare(config, tmp_path / "out", root=tmp_path)
    for prompt, reference in prompts(
        corpus, Split.TEST, count=20, prompt_bytes=101, reference_bytes=67
    ):
        assert prompt + reference in "戦場のü" * 9000


def test_impossible_requests_are_refused(small_corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="count: 0 is below 1"):
        prompts(small_corpus, Split.SEARCH, count=0)
    with pytest.raises(CorpusError, match="long enough for a prompt of 5000000 bytes"):
        prompts(small_corpus, Split.SEARCH, count=1, prompt_bytes=5_000_000)

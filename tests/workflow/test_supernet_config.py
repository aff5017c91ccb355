"""What a search file may say of shared weights, and what it is told where they cannot be."""

from typing import Any

import pytest

from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.supernet_config import SupernetConfig

ONE_KIND = {
    "families": ["llama"],
    "head_dims": [32],
    "tie_word_embeddings": [True],
    "rope_thetas": [10_000.0],
}


def read(**changes: Any) -> SearchConfig:
    data = {
        "study_name": "notes",
        "timeout": "10m",
        "corpus": {"files": ["notes"]},
        "tokenizer": {"vocab_sizes": [512]},
        "space": ONE_KIND,
    }
    return validate(SearchConfig, {**data, **changes}, source="search.toml")


@pytest.mark.parametrize(
    ("strategy", "method"),
    [("single_path_one_shot", "single_path"), ("enas", "enas"), ("darts", "darts")],
)
def test_a_strategy_of_shared_weights_implies_them(strategy: str, method: str) -> None:
    found = read(strategy={"type": strategy}).shared_weights
    assert found == SupernetConfig.model_validate({"method": method})


def test_other_searches_train_every_candidate() -> None:
    assert read().shared_weights is None
    assert read(strategy={"type": "random"}).shared_weights is None


def test_the_section_chooses_the_method_and_serves_other_strategies() -> None:
    one_shot = {"type": "single_path_one_shot"}
    chosen = read(strategy=one_shot, supernet={"method": "sandwich"}).shared_weights
    assert chosen is not None
    assert chosen.method == "sandwich"
    drawn = read(strategy={"type": "random"}, supernet={"train_bytes": "3MB"}).shared_weights
    assert drawn is not None
    assert drawn.plan(drawn.train_bytes or 0) == SupernetPlan(
        method="sandwich", train_bytes=3_000_000
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"supernet": {}}, r"'law_guided' predicts .* write \[strategy\] type = \"single_path"),
        ({"supernet": {}, "strategy": {"type": "asha"}}, "'asha' is a discipline of rungs"),
        (
            {"supernet": {"method": "sandwich"}, "strategy": {"type": "enas"}},
            "method 'sandwich' does not fit the strategy 'enas', which needs \"enas\"",
        ),
        (
            {"supernet": {"method": "darts"}, "strategy": {"type": "random"}},
            r"'random' does not read; write \[strategy\] type = \"darts\"",
        ),
        (
            {"objectives": ["bits_per_byte", "train_seconds"], "strategy": {"type": "darts"}},
            "'train_seconds' says nothing",
        ),
        ({"supernet": {"shar": 0.5}}, "unknown key; did you mean 'share'"),
        ({"supernet": {"share": 0.95}}, "less than or equal to 0.9"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(**changes)


def test_all_keys_that_a_space_needs_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        read(strategy={"type": "enas"}, space={}, tokenizer={})
    text = str(raised.value)
    assert '[space] families = ["llama"], head_dims = [' in text
    assert "tie_word_embeddings = [" in text
    assert "; [tokenizer] vocab_sizes = [2048]" in text
    # what it says is enough
    space = {**ONE_KIND, "head_dims": [64]}
    assert read(strategy={"type": "enas"}, space=space).shared_weights is not None


def test_only_what_differs_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        read(strategy={"type": "darts"}, space={**ONE_KIND, "head_dims": [16, 32]})
    assert str(raised.value).endswith("choices: [space] head_dims = [16]")
    with pytest.raises(ConfigError, match=r"choices: \[tokenizer\] vocab_sizes = \[1024\]"):
        read(strategy={"type": "darts"}, tokenizer={"vocab_sizes": [512, 1024]})
    # the vocabulary of a file is one
    read(strategy={"type": "darts"}, tokenizer={"file": "tokenizer.json"})

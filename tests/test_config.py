"""Specs, their canonical form, and what a wrong file is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.config import (
    Spec,
    canonical_json,
    content_hash,
    load_json,
    load_toml,
    read_toml,
    validate,
)
from archsmith.errors import ConfigError


class Inner(Spec):
    learning_rate: float = 1e-3


class Outer(Spec):
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    count: int


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValidationError):
        Outer(count=1).count = 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "count = 1\n[inner]\nlerning_rate = 1",
            r"inner.lerning_rate: .*did you mean 'learning_rate'",
        ),
        ("cout = 1", r"cout: unknown key; did you mean 'count'\?"),
        ("", r"count: this key is required"),
        ('count = "many"', r"count: .*integer.*given: 'many'"),
        ("count = ", r"not valid TOML"),
    ],
)
def test_a_wrong_file_is_told_where_and_what_would_work(tmp_path, text, message):
    path = tmp_path / "search.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        load_toml(Outer, path)
    assert "search.toml" in str(raised.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_toml(tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_json(Outer, broken)


def test_a_nested_kind_is_read_by_its_type_and_errors_keep_the_path():
    layer = Layer(
        mixer=Attention(num_attention_heads=4, num_key_value_heads=2, head_dim=8),
        feed_forward=GatedMlp(intermediate_size=96),
    )
    tree = Architecture(
        hidden_size=32, vocab_size=260, max_position_embeddings=64, layers=(layer,) * 3
    )
    data = tree.model_dump(mode="json")
    assert validate(Architecture, data, source="here") == tree
    data["layers"][1]["mixer"]["type"] = "atention"
    with pytest.raises(ConfigError, match=r"layers\.1\.mixer: .*did you mean 'attention'"):
        validate(Architecture, data, source="here")
    data["layers"][1]["mixer"].update(type="attention", num_key_value_heads=3)
    with pytest.raises(ConfigError, match=r"must divide num_attention_heads, got 3 and 4"):
        validate(Architecture, data, source="here")
    del data["layers"][1]["mixer"]["type"]
    with pytest.raises(ConfigError, match=r"layers\.1\.mixer: the key 'type' is missing"):
        validate(Architecture, data, source=str(Path("here")))

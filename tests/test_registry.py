"""Parts are found by name, and third parties' through entry points."""

from importlib.metadata import EntryPoint

import pytest

from archsmith import registry
from archsmith.architecture.mixers.attention import Attention
from archsmith.errors import ConfigError


@pytest.fixture(autouse=True)
def fresh_registry():
    caches = (registry.names, registry.find, registry._foreign)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_a_part_is_the_module_of_its_name():
    assert "attention" in registry.names("mixers")
    assert "base" not in registry.names("mixers")
    assert registry.find("mixers", "attention") is Attention


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown mixer 'attenton'; did you mean 'attention'\?"):
        registry.find("mixers", "attenton")


def test_a_third_party_part_is_found_by_entry_point(monkeypatch):
    point = EntryPoint(
        name="mine", value="archsmith.architecture.norm:Norm", group="archsmith.mixers"
    )
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [point] if group == point.group else []
    )
    assert "mine" in registry.names("mixers")
    assert registry.find("mixers", "mine").__name__ == "Norm"

"""Parts by name: the module of that name in its folder, else an entry point; imported when asked.

A part (strategy, mixer, cost model, …) is one file whose name is the part's name. Third parties
publish one through an entry point in the group `archsmith.<kind>`. Nothing keeps a list.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from archsmith.errors import ConfigError, did_you_mean

# kind -> the package whose modules are its parts
KINDS = {
    "mixers": "archsmith.architecture.mixers",
    "feed_forwards": "archsmith.architecture.feed_forwards",
    "mixer_modules": "archsmith.model.mixers",
    "feed_forward_modules": "archsmith.model.feed_forwards",
    "cost": "archsmith.cost",
    "families": "archsmith.space.families",
    "strategies": "archsmith.strategies",
    "evaluators": "archsmith.evaluators",
    "exporters": "archsmith.export.formats",
    "stock_families": "archsmith.export.reading.families",
}
_NOT_PARTS = {"base"}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of all parts of a kind, sorted; modules are listed, not imported.

    A module is a part unless its name is `base` or begins with an underscore.
    """
    return tuple(sorted(_own(kind) | set(_foreign(kind))))


@cache
def _own(kind: str) -> frozenset[str]:
    package = find_spec(KINDS[kind])
    assert package is not None, f"{KINDS[kind]} is not a package"
    folder = package.submodule_search_locations
    found = {m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")}
    return frozenset(found - _NOT_PARTS)


@cache
def _foreign(kind: str) -> dict[str, Any]:
    """Entry points of third parties; to look for them means to open every installed package."""
    return {point.name: point for point in entry_points(group=f"archsmith.{kind}")}


@cache
def find(kind: str, name: str) -> Any:
    """The object a part's module exports as `PART`. Raises ConfigError for an unknown name."""
    if name in _own(kind):
        return importlib.import_module(f"{KINDS[kind]}.{name}").PART
    if name in _foreign(kind):
        return _foreign(kind)[name].load()
    singular = kind.removesuffix("s").replace("_", " ").replace("strategie", "strategy")
    raise ConfigError(f"unknown {singular} '{name}'; {did_you_mean(name, names(kind))}")

"""Evaluators as JSON, so that a worker process can rebuild the one its study was started with."""

from collections.abc import Mapping
from typing import Any

from archsmith import registry
from archsmith.config import validate
from archsmith.errors import ConfigError, StoreError
from archsmith.evaluators.base import Evaluator
from archsmith.store.encoding import class_path, find_class
from archsmith.store.store import Store

NOTE = "evaluator"


def dump_evaluator(evaluator: Evaluator) -> dict[str, Any]:
    """The settings and how to find the class: by registered type, else by import path."""
    settings = evaluator.model_dump(mode="json")
    if evaluator.type in registry.names("evaluators"):
        return {"type": evaluator.type, "settings": settings}
    return {"class": class_path(evaluator), "settings": settings}


def load_evaluator(data: Mapping[str, Any]) -> Evaluator:
    """The evaluator that `dump_evaluator` wrote. Raises ConfigError or StoreError."""
    found = registry.find("evaluators", data["type"]) if "type" in data else None
    if found is None:
        found = find_class(data["class"])
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise StoreError(f"the study's evaluator {data.get('class')} is no Evaluator")
    return validate(found, data["settings"], source="the study's evaluator")


def stored_evaluator(store: Store, study: str) -> Evaluator:
    """The evaluator a study runs with. Raises ConfigError if it never ran."""
    note = store.notes(study).get(NOTE)
    if note is None:
        raise ConfigError(
            f"study '{study}' has no evaluator yet: it was never optimized; start its search first"
        )
    return load_evaluator(note)

"""Values as text, and back: points of a space (an architecture, a table's row), and plain JSON.

A pydantic value is stored as its JSON with the path of its class; plain JSON values are stored as
they are, with lists read back as tuples so that the point stays hashable.
"""

import importlib
import json
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from archsmith.config import canonical_json, content_hash
from archsmith.errors import StoreError

PLAIN = "json"


def class_path(value: object) -> str:
    """`package.module:Class` of a value's class."""
    return f"{type(value).__module__}:{type(value).__qualname__}"


def find_class(path: str) -> Any:
    """The class at `package.module:Class`. Raises StoreError."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StoreError(
            f"the study refers to {path}, which cannot be imported here ({error}); "
            "install the package it comes from, or add its folder to PYTHONPATH"
        ) from None
    return found


def encode_point(point: Any) -> tuple[str, str]:
    """(type, JSON) of a point. Raises StoreError for a value that JSON cannot hold."""
    if isinstance(point, BaseModel):
        return class_path(point), canonical_json(point)
    try:
        text = json.dumps(point, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"a point of type {type(point).__name__} cannot be stored ({error}); "
            "points are pydantic models, or numbers, texts and tuples of them"
        ) from None
    return PLAIN, text


@lru_cache(maxsize=4096)
def decode_point(point_type: str, text: str) -> Any:
    """The point that `encode_point` wrote. Raises StoreError."""
    if point_type == PLAIN:
        return _frozen(json.loads(text))
    try:
        return find_class(point_type).model_validate(json.loads(text))
    except ValidationError as error:
        raise StoreError(
            f"a stored {point_type} does not fit this version of archsmith: {error}"
        ) from None


def point_hash(text: str) -> str:
    """Content hash of a point's JSON; for an architecture it equals `Architecture.hash`."""
    return content_hash(text)


def to_json(value: Any) -> str:
    """JSON text; refuses NaN and infinities with ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Any:
    """The value of JSON text; empty text is an empty mapping."""
    return json.loads(text) if text else {}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value

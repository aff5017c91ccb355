"""Frozen specs, their JSON and TOML, their content hash, and errors that carry the path.

A spec is a pydantic model that cannot change, refuses unknown keys, and hashes by value. Specs
that come in kinds (mixers, strategies, …) carry a `type` tag that the registry resolves, so a
third party's kind is read like our own.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, ValidationError
from pydantic_core import PydanticCustomError

from archsmith import registry
from archsmith.errors import ConfigError, did_you_mean


class Spec(BaseModel):
    """Base of every frozen value: immutable, hashable, equal by content, no unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        ser_json_inf_nan="constants",
    )


SpecT = TypeVar("SpecT", bound=BaseModel)


def canonical_json(value: BaseModel | Mapping[str, Any]) -> str:
    """One text per value: sorted keys, no spaces, every field written out."""
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(value: BaseModel | Mapping[str, Any] | str | bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON (or of the text)."""
    if isinstance(value, BaseModel | Mapping):
        value = canonical_json(value)
    if isinstance(value, str):
        value = value.encode()
    return hashlib.sha256(value).hexdigest()[:16]


def of_kind(base: type[SpecT], kind: str) -> Any:
    """The annotation of a field that holds any registered spec of `kind`, tagged by `type`."""

    def resolve(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        tag = value.get("type")
        if tag is None:
            raise PydanticCustomError(
                "missing_type",
                "the key 'type' is missing; {known}",
                {"known": did_you_mean("", registry.names(kind))},
            )
        try:
            found = registry.find(kind, tag)
        except ConfigError as error:
            raise PydanticCustomError("unknown_type", "{text}", {"text": str(error)}) from None
        known = [name for name in found.model_fields if name != "type"]
        for key in value:
            if key != "type" and key not in known:
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key '{key}' of '{tag}'; {known}",
                    {"key": key, "tag": tag, "known": did_you_mean(key, known)},
                )
        return found.model_validate({k: v for k, v in value.items() if k != "type"})

    serialize = SerializeAsAny()  # type: ignore[type-arg]
    return Annotated[base, serialize, BeforeValidator(resolve)]


def validate(spec: type[SpecT], data: Any, *, source: str) -> SpecT:
    """`data` as a `spec`. Raises ConfigError: `source: path.to.key: what was wrong`."""
    try:
        return spec.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(spec, e, source) for e in error.errors())) from None


def load_json(spec: type[SpecT], path: Path) -> SpecT:
    """Read a spec from a JSON file. Raises ConfigError."""
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    return validate(spec, data, source=str(path))


def load_toml(spec: type[SpecT], path: Path) -> SpecT:
    """Read a spec from a TOML file. Raises ConfigError."""
    return validate(spec, read_toml(path), source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The plain content of a TOML file. Raises ConfigError."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def read_text(path: Path) -> str:
    """The text of a file the user named. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; a file is needed") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _explain(spec: type[BaseModel], error: Any, source: str) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        known = _fields_at(spec, error["loc"][:-1])
        return f"{source}: {path}: unknown key; {did_you_mean(str(error['loc'][-1]), known)}"
    if error["type"] == "missing":
        return f"{source}: {path}: this key is required"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{source}: {path}: {message}{shown}"


def _fields_at(spec: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Field names of the model reached from `spec` by `location`, as far as types tell."""
    current: Any = spec
    for part in location:
        if isinstance(part, int) or not hasattr(current, "model_fields"):
            continue
        field = current.model_fields.get(part)
        if field is None:
            break
        current = next(
            (t for t in _types_in(field.annotation) if hasattr(t, "model_fields")), current
        )
    return list(getattr(current, "model_fields", {}))


def _types_in(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(found for part in inner for found in _types_in(part))]

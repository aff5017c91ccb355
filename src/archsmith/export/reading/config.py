"""A stock `config.json`, asked key by key; whatever archsmith cannot compute is refused here.

Absent keys mean what the stock class means by them, so each family gives its own defaults. Keys
that play no part in inference (dropout, token ids, initialization) are never asked for.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from archsmith.config import read_text
from archsmith.errors import ConfigError

_SHOWN = 80  # characters of a value in a message


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a JSON value is a finite number; Python's reader lets NaN and Infinity pass."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class StockConfig:
    """The content of a `config.json`; `source` is how messages call it. null counts as absent."""

    def __init__(self, data: Mapping[str, Any], source: str) -> None:
        self._data = data
        self.source = source

    @classmethod
    def read(cls, folder: Path) -> "StockConfig":
        """Read a folder's `config.json`. Raises ConfigError."""
        path = folder / "config.json"
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give one that save_pretrained wrote")
        if not path.is_file():
            raise ConfigError(f"{folder}: holds no config.json, so it is no transformers model")
        try:
            data = json.loads(read_text(path))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}: not valid JSON: {error}") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: holds no object of settings")
        return cls(data, str(path))

    def get(self, key: str, default: Any = None) -> Any:
        """A value as it stands, or the default."""
        found = self._data.get(key)
        return default if found is None else found

    def has(self, key: str) -> bool:
        """Whether the key is there, be it null."""
        return key in self._data

    def wrong(self, key: str, problem: str) -> ConfigError:
        """An error that names the key, what is wrong, and the value given."""
        given = repr(self.get(key))
        shown = given if len(given) <= _SHOWN else given[:_SHOWN] + "…"
        return ConfigError(f"{self.source}: {key}: {problem} (given: {shown})")

    def integer(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self.get(key, default)
        if value is None:
            raise ConfigError(f"{self.source}: {key}: this key is required")
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"must be a whole number of at least {least}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.get(key, default)
        if not is_number(value):
            raise self.wrong(key, "must be a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - a value, not a switch
        """true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def items(self, key: str) -> list[Any]:
        """A list; absent is empty."""
        value = self.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list")
        return value

    def names(self, key: str, known: Sequence[str], length: int) -> list[str] | None:
        """One of the `known` words for each layer, or None where the key is absent."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            raise self.wrong(key, f"must have one entry for each of {length} layers")
        for word in value:
            if word not in known:
                raise ConfigError(
                    f"{self.source}: {key}: '{word}' is not among what archsmith computes: "
                    f"{', '.join(known)}"
                )
        return value

    def only(self, key: str, allowed: Sequence[Any], problem: str) -> None:
        """Refuse any value but the `allowed` ones (and absence)."""
        if self.get(key) is not None and self.get(key) not in allowed:
            raise self.wrong(key, problem)

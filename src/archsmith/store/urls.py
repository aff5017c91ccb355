"""Where a store is, as written in a search file: relative SQLite paths start from its folder."""

from pathlib import Path

from archsmith.errors import ConfigError

_SQLITE = "sqlite:///"


def resolve_storage(storage: str, root: Path) -> str:
    """A database URL with an absolute path. Raises ConfigError for what is no URL."""
    if storage.startswith(_SQLITE):
        return _SQLITE + str((root / storage.removeprefix(_SQLITE)).absolute())
    if "://" not in storage:
        raise ConfigError(
            f"storage: {storage!r} is not a database URL; "
            "write sqlite:///archsmith.db or postgresql://user@host/database"
        )
    return storage

"""Opening a store: what stands at a URL is checked, made or brought up to date before its use."""

from pathlib import Path

from sqlalchemy.engine import Engine

from archsmith.errors import StoreError
from archsmith.store.database import (
    check_integrity,
    check_revision,
    database_url,
    describe,
    make_engine,
    schema_revision,
    sqlite_path,
)
from archsmith.store.migrate import create_schema, upgrade


def open_engine(url: str | Path, *, create: bool, read_only: bool) -> Engine:
    """An engine on a database of this schema; the arguments are those of `store.connect`.

    Raises StoreError: missing, damaged, something else's, or of another version.
    """
    where = database_url(url)
    path = sqlite_path(where)
    if path is not None:
        _check_file(path, create=create)
    engine = make_engine(where, read_only=read_only)
    try:
        _prepare(engine, create=create, read_only=read_only)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _check_file(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StoreError(f"the store {path} is a folder; name a file")
    if not path.exists() and not create:
        raise StoreError(f"there is no store at {path}; a search makes one, or name another file")
    if not path.parent.is_dir():
        raise StoreError(f"the folder of the store {path} does not exist; make it first")


def _prepare(engine: Engine, *, create: bool, read_only: bool) -> None:
    check_integrity(engine)
    found = schema_revision(engine)
    if found is None:
        if not create:
            raise StoreError(f"{describe(engine)} is empty: no study was ever written to it")
        create_schema(engine)
    elif not check_revision(engine, found):
        if read_only:
            raise StoreError(
                f"{describe(engine)} was written by an older archsmith (schema {found}); "
                "start its search once to bring it up to date (a copy is kept)"
            )
        upgrade(engine)

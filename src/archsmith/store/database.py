"""Opening a database: SQLite by default (one file, WAL), PostgreSQL by URL.

SQLite waits up to 60 seconds for a lock and takes the write lock when a transaction begins
(BEGIN IMMEDIATE): upgrading a read lock in the middle is what loses writes to "database is locked".
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from archsmith.errors import MissingExtraError, StoreError
from archsmith.store.schema import REVISIONS, version

BUSY_SECONDS = 60
_MODE = "archsmith_mode"  # execution option: read, write or durable


def database_url(storage: str | Path) -> URL:
    """A path or a database URL as a URL. Raises StoreError."""
    text = str(storage)
    if isinstance(storage, Path) or "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(
            f"cannot read the storage {text!r}; give a file such as studies.db, "
            "or a URL such as postgresql://user@host/name"
        ) from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"storage {text!r}: only sqlite and postgresql are supported")
    if url.database in (None, "", ":memory:"):
        raise StoreError(
            f"storage {text!r}: a study is kept in a file, because workers are processes of "
            "their own; give one such as sqlite:///studies.db"
        )
    return url.set(database=str(Path(str(url.database)).expanduser().absolute()))


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL, None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL, *, read_only: bool) -> Engine:
    """An engine with our transaction modes. Creates no file when `read_only`."""
    path = sqlite_path(url)
    if path is None:
        try:
            options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=options)
        except ModuleNotFoundError:
            raise MissingExtraError("A PostgreSQL storage", "postgres") from None
    uri = path.as_uri()
    query = _reading_mode(path) if read_only else "mode=rwc"
    engine = sa.create_engine(
        url,
        creator=lambda: sqlite3.connect(
            f"{uri}?{query}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # we begin transactions ourselves
            check_same_thread=False,
        ),
    )
    sa.event.listen(engine, "connect", _read_only_connection if read_only else _connection)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _reading_mode(path: Path) -> str:
    """Open for writing where one may, though nothing is written: the last reader then removes the
    log files that SQLite makes beside a WAL database, a read-only connection leaves them."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    log = path.with_name(path.name + "-wal")
    return "mode=ro" if log.exists() else "mode=ro&immutable=1"


def _connection(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _read_only_connection(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA query_only=ON")


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_MODE, "read")
    if mode != "read":
        level = "FULL" if mode == "durable" else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
    connection.exec_driver_sql("BEGIN" if mode == "read" else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine, mode: str) -> Iterator[Connection]:
    """A transaction in mode `read`, `write` or `durable` (on disk when it returns).

    Raises StoreError where the database cannot be used.
    """
    try:
        with engine.connect().execution_options(**{_MODE: mode}) as connection, connection.begin():
            yield connection
    except sa.exc.IntegrityError:
        raise
    except DBAPIError as error:
        raise _explained(engine, error) from error


_READ_ONLY = (
    "cannot be written: it was opened for reading, or its folder is read-only; "
    "copy it to a place you may write to"
)


def _explained(engine: Engine, error: DBAPIError) -> StoreError:
    text = str(error.orig)
    for part, sentence in (
        ("readonly", _READ_ONLY),
        ("read-only transaction", _READ_ONLY),
        ("unable to open", "cannot be opened: check that its folder exists and may be written to"),
        ("disk is full", "cannot be written: the disk is full; free some space and start again"),
        ("is locked", f"is locked by another process for more than {BUSY_SECONDS} seconds; "
         "stop that process, or keep the file on a local disk"),
        ("not a database", "is not a database; name another file, or restore a copy"),
        ("malformed", "is damaged; restore a copy"),
        ("disk I/O", "cannot be read or written: input/output error of the disk"),
    ):  # fmt: skip
        if part in text:
            return StoreError(f"{describe(engine)} {sentence}")
    what = "cannot be reached" if isinstance(error, OperationalError) else "refused a statement"
    return StoreError(f"{describe(engine)} {what}: {text}")


def describe(engine: Engine) -> str:
    """The database in a message; no password."""
    path = sqlite_path(engine.url)
    return f"the store {path or engine.url.render_as_string(hide_password=True)}"


def check_integrity(engine: Engine) -> None:
    """Raises StoreError for a damaged SQLite file."""
    if engine.url.get_backend_name() != "sqlite":
        return
    with transaction(engine, "read") as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise StoreError(f"{describe(engine)} is damaged ({found}); restore a copy")


def schema_revision(engine: Engine) -> str | None:
    """The schema version of a database, None for an empty one. Raises StoreError."""
    with transaction(engine, "read") as connection:
        names = sa.inspect(connection).get_table_names()
        if "alembic_version" in names and "studies" in names:
            found = connection.execute(sa.select(version.c.version_num)).scalar_one()
            return str(found)
    if engine.url.get_backend_name() == "sqlite" and names:
        raise StoreError(
            f"{describe(engine)} is a database of something else (tables: {', '.join(names[:5])}); "
            "name another file"
        )
    return None


def check_revision(engine: Engine, found: str) -> bool:
    """Whether the schema is this code's; False if older. Raises StoreError if newer."""
    if found not in REVISIONS:
        raise StoreError(
            f"{describe(engine)} was written by a newer archsmith (schema {found}, this one reads "
            f"up to {REVISIONS[-1]}); upgrade: pip install -U archsmith"
        )
    return found == REVISIONS[-1]

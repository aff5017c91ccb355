"""Bring a database to this code's schema. alembic is imported only when there is something to do.

A new database is made from `schema.py` directly; an older one is copied aside (SQLite) and then
migrated in one transaction, so that it is either the old one or the new one, never half of each.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from archsmith.store.database import (
    check_revision,
    schema_revision,
    sqlite_path,
    transaction,
)
from archsmith.store.schema import REVISIONS, metadata, version


def create_schema(engine: Engine) -> None:
    """Make all tables in an empty database; harmless when another process was faster."""
    with transaction(engine, "durable") as connection:
        _lock(connection)
        if "studies" in sa.inspect(connection).get_table_names():
            return
        version.metadata.create_all(connection)
        metadata.create_all(connection)
        connection.execute(sa.delete(version))
        connection.execute(sa.insert(version).values(version_num=REVISIONS[-1]))


def upgrade(engine: Engine, *, to: str = REVISIONS[-1]) -> Path | None:
    """Migrate an older database to revision `to`; returns the copy made before, if any."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    found = schema_revision(engine)
    copy = _copy_aside(engine, found or "empty")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    with transaction(engine, "durable") as connection:
        _lock(connection)
        if found is not None:
            now = str(connection.execute(sa.select(version.c.version_num)).scalar_one())
            if check_revision(engine, now):
                return copy  # another process was faster
        config.attributes["connection"] = connection
        with EnvironmentContext(
            config,
            scripts,
            fn=lambda revision, _: scripts._upgrade_revs(to, revision),
            destination_rev=to,
        ):
            scripts.run_env()
    return copy


def _lock(connection: Connection) -> None:
    """One process at a time; SQLite's transaction holds the lock already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4207849484)")  # "archsmith"


def _copy_aside(engine: Engine, found: str) -> Path | None:
    path = sqlite_path(engine.url)
    if path is None or not path.exists() or path.stat().st_size == 0:
        return None
    copy = path.with_name(f"{path.name}.schema-{found}")
    index = 2
    while copy.exists():
        copy = path.with_name(f"{path.name}.schema-{found}-{index}")
        index += 1
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy

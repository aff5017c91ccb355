"""Opening a store: made, migrated, refused."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from archsmith.errors import StoreError
from archsmith.store import schema
from archsmith.store.database import database_url, make_engine
from archsmith.store.migrate import upgrade
from archsmith.store.store import connect
from archsmith.trial import TrialState

OLD = Path(__file__).parent / "fixtures" / "schema_0001.sql"


def old_store(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())
    return path


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*none\.db; a search makes one"):
        connect(tmp_path / "none.db")
    with pytest.raises(StoreError, match="there is no store"):
        connect(f"sqlite:///{tmp_path}/none.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_no_file_behind(tmp_path: Path) -> None:
    store = connect(tmp_path / "a.db", create=True)
    store.create_study("x", spec={}, seed=0)
    store.close()
    reader = connect(tmp_path / "a.db", read_only=True)
    assert reader.study("x").seed == 0
    reader.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.db"]


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = connect(tmp_path / "a.db", create=True)
    store.create_study("x", spec={}, seed=0)
    reader = connect(tmp_path / "a.db", read_only=True)
    with pytest.raises(StoreError, match="cannot be written: it was opened for reading"):
        reader.put_note("x", "key", 1)


def test_reading_imports_neither_torch_nor_alembic(tmp_path: Path) -> None:
    store = connect(tmp_path / "a.db", create=True)
    store.create_study("x", spec={}, seed=0)
    code = (
        "import sys; from archsmith.store.store import connect; "
        f"connect({str(tmp_path / 'a.db')!r}, read_only=True).trials('x'); "
        "print({'torch', 'alembic', 'pymoo', 'scipy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder; name a file"):
        connect(tmp_path, create=True)
    with pytest.raises(StoreError, match=r"folder of the store .* does not exist"):
        connect(tmp_path / "no" / "a.db", create=True)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="a study is kept in a file"):
        connect(url, create=True)


def test_other_databases_are_refused() -> None:
    with pytest.raises(StoreError, match="only sqlite and postgresql"):
        connect("mysql://localhost/x")
    with pytest.raises(StoreError, match="cannot read the storage"):
        connect("://", create=True)


@pytest.mark.parametrize(
    "content", [b"these are my notes\n" * 500, b"SQLite format 3\0" + b"x" * 9000]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.db (is not a database|is damaged)"):
        connect(path, create=True)
    assert path.read_bytes() == content


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = connect(path, create=True)
    store.create_study("x", spec={"a": "b" * 20_000}, seed=0)
    store.close()
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged.*restore a copy"):
        connect(path)


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(StoreError, match=r"something else \(tables: recipes\)"):
        connect(tmp_path / "a.db", create=True)


def test_an_empty_file_is_filled_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with pytest.raises(StoreError, match="is empty"):
        connect(tmp_path / "a.db")
    assert connect(tmp_path / "a.db", create=True).studies() == []


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    connect(tmp_path / "a.db", create=True).close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.commit()
    for read_only in (True, False):
        with pytest.raises(StoreError, match=r"newer archsmith \(schema 0999, .*pip install -U"):
            connect(tmp_path / "a.db", read_only=read_only)


def test_an_older_store_is_copied_and_migrated(tmp_path: Path) -> None:
    path = old_store(tmp_path / "a.db")
    store = connect(path)
    done, waiting = store.trials("old")
    assert done.architecture == (1, 0)
    assert done.metrics == {"file_bytes": 10, "bits_per_byte": 2.5}
    assert waiting.state is TrialState.PENDING
    (entry,) = store.ledger("old")
    assert (entry.phase, entry.seconds, entry.number) == ("rung", 1.5, 0)
    job = store.queue.claim("old", owner="me", lease_seconds=9)
    assert job is not None
    assert store.queue.finish(job, metrics={"bits_per_byte": 2.0})
    assert len(store.ledger("old")) == 2
    with closing(sqlite3.connect(tmp_path / "a.db.schema-0001")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    store.close()
    connect(path).close()
    assert len(list(tmp_path.glob("a.db.schema*"))) == 1


def test_an_older_store_is_not_migrated_by_reading(tmp_path: Path) -> None:
    path = old_store(tmp_path / "a.db")
    with pytest.raises(StoreError, match=r"older archsmith \(schema 0001\); start its search once"):
        connect(path, read_only=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.db"]


def test_a_migration_that_fails_leaves_the_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_store(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ledger (id INTEGER)")  # in the migration's way
        connection.commit()
    with pytest.raises(StoreError, match="ledger"):
        connect(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT count(*) FROM candidates").fetchone() == (2,)


def test_migrations_lead_to_the_schema_of_the_code(tmp_path: Path) -> None:
    def tables(path: Path) -> dict[str, object]:
        engine = sa.create_engine(f"sqlite:///{path}")
        found = sa.inspect(engine)
        described: dict[str, object] = {}
        for name in found.get_table_names():
            columns = [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)]
            indexes = sorted((i["name"] or "", i["column_names"]) for i in found.get_indexes(name))
            unique = sorted(str(u["column_names"]) for u in found.get_unique_constraints(name))
            described[name] = (columns, indexes, unique, found.get_foreign_keys(name))
        engine.dispose()
        return described

    connect(tmp_path / "new.db", create=True).close()
    (tmp_path / "migrated.db").touch()
    engine = make_engine(database_url(tmp_path / "migrated.db"), read_only=False)
    upgrade(engine)
    engine.dispose()
    assert tables(tmp_path / "migrated.db") == tables(tmp_path / "new.db")
    assert schema.REVISIONS[-1] == "0002"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    connect(tmp_path / "a.db", create=True).close()
    (tmp_path / "a.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert connect(tmp_path / "a.db", read_only=True).studies() == []
        with pytest.raises(StoreError, match="cannot be"):
            connect(tmp_path / "a.db").create_study("x", spec={}, seed=0)
        with pytest.raises(StoreError, match="cannot be opened"):
            connect(tmp_path / "b.db", create=True)
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_takes_no_files_is_named() -> None:
    with pytest.raises(StoreError, match="cannot be opened: check that its folder"):
        connect("/proc/archsmith.db", create=True)

"""Find a study from a search file, or from a storage URL and a name; no torch is imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from archsmith.config import read_toml
from archsmith.errors import ConfigError, StoreError, did_you_mean

storage_option = click.option("--storage", help="Database URL, instead of the search file's.")
study_option = click.option("--study-name", help="Study, instead of the search file's.")


def locate(config_file: Path, storage: str | None, study_name: str | None) -> tuple[str, str]:
    """Storage URL and study name. Only these two keys of the search file are read, so that a
    study can be looked at even where its file has since become invalid. Raises ConfigError."""
    from archsmith.store.urls import resolve_storage

    if storage is None or study_name is None:
        data: dict[str, Any] = {}
        if storage is None or config_file.is_file():
            data = read_toml(config_file)
        root = config_file.resolve().parent
        if storage is None:
            storage = resolve_storage(str(data.get("storage", "sqlite:///archsmith.db")), root)
        study_name = study_name or data.get("study_name")
    if study_name is None:
        raise ConfigError("which study? give --study-name, or a search file that names one")
    return storage, str(study_name)


def load_report(config_file: Path, *, storage: str | None, study_name: str | None) -> Any:
    """Everything the store holds of the study. Raises ConfigError, StoreError."""
    from archsmith.report.load import load_study
    from archsmith.store.store import connect

    url, name = locate(config_file, storage, study_name)
    store = connect(url, read_only=True)
    known = [study.name for study in store.studies()]
    if name not in known:
        raise StoreError(f"no study '{name}' in {url}; {did_you_mean(name, known)}")
    return load_study(store, name)


def find_studies(paths: Sequence[Path]) -> list[Any]:
    """The studies of search files, databases, and folders that hold either, one level deep.

    Raises ConfigError, StoreError.
    """
    from archsmith.report.load import load_study
    from archsmith.store.store import connect

    studies: list[Any] = []
    for place in [found for path in paths for found in _places(path)]:
        if place.suffix == ".db":
            store = connect(str(place), read_only=True)
            studies += [load_study(store, study.name) for study in store.studies()]
        else:
            studies.append(load_report(place, storage=None, study_name=None))
    return studies


def _places(path: Path) -> list[Path]:
    """Search files and databases. Raises ConfigError where there is none."""
    if not path.is_dir():
        if not path.exists():
            raise ConfigError(f"{path} does not exist; give a search file, a database or a folder")
        return [path]
    for folder in ((path,), sorted(inner for inner in path.iterdir() if inner.is_dir())):
        found = [place for inner in folder for place in _in_folder(inner)]
        if found:
            return found
    raise ConfigError(f"{path} holds no search.toml and no database, nor do the folders in it")


def _in_folder(folder: Path) -> list[Path]:
    search_file = folder / "search.toml"
    return [search_file] if search_file.is_file() else sorted(folder.glob("*.db"))

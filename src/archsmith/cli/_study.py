"""Find a study from a search file, or from a storage URL and a name; no torch is imported."""

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

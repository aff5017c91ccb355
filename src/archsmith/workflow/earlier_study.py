"""A stored study as a problem with its trials, and as a file that later studies begin with."""

from pathlib import Path
from typing import Any, cast

from archsmith.architecture.tree import Architecture
from archsmith.errors import ConfigError
from archsmith.space.features import features
from archsmith.store.store import Store
from archsmith.study import load_study
from archsmith.surrogate.earlier import write_earlier
from archsmith.trial import Problem, Space


def write_study(store: Store, name: str, path: Path) -> int:
    """Write a study's complete trials for later ones; returns how many.

    Raises:
        StoreError: there is no such study.
        ConfigError: the file exists, no trial is complete, or trials are no architectures.
    """
    return write_earlier(path, stored_problem(store, name), store.observations(name))


def stored_problem(store: Store, name: str) -> Problem:
    """What a study searched for, as far as it is stored: its space knows features alone.

    Raises StoreError.
    """
    problem, notes = load_study(study_name=name, storage=store).problem, store.notes(name)
    problem.space = cast(Space, _Architectures())
    # studies of before these were kept with them have them as notes
    if problem.corpus_bits_per_byte is None:
        problem.corpus_bits_per_byte = _found(notes, "suggestion", "corpus_bits_per_byte")
    if problem.corpus_train_bytes is None:
        problem.corpus_train_bytes = _found(notes, "corpus", "splits", "train", "num_bytes")
    return problem


def _found(notes: Any, *keys: str) -> Any:
    for key in keys:
        notes = notes.get(key) if isinstance(notes, dict) else None
    return notes


class _Architectures:
    """Stands for a space of which only the points that were tried are known."""

    def features(self, point: Any) -> dict[str, float]:
        if not isinstance(point, Architecture):
            raise ConfigError("the study's candidates are no architectures, so no law reads them")
        return features(point)

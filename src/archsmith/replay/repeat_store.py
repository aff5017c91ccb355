"""Finished repeats in a file of JSON lines, so that a replay that was stopped goes on.

A line is one repeat, appended when it is finished. Its key hashes everything that its curve depends
on beside the seed: the table as it was loaded, with objectives and limits; the strategy's settings
and the files they name; the number of evaluations; versions and source code. Lines of other keys
stay where they are, so that one file serves many replays. What a killed process left of a line is
passed over.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archsmith.config import canonical_json, content_hash
from archsmith.data.storage import clear_write_errors, make_folder
from archsmith.errors import ConfigError
from archsmith.replay.table import Table
from archsmith.strategies.base import Strategy

_BEGIN = b'{"replay": "'
_PACKAGES = ("archsmith", "numpy", "scipy", "torch", "gpytorch", "optuna", "pymoo")


class Repeat(NamedTuple):
    """One finished search on a table.

    Attributes:
        curve: the measure after each evaluation; [T].
        seconds: CPU seconds of proposals and look-ups.
        is_random: whether random search with the same seed had the same models trained.
        notes: how often the strategy noted what of its proposals.
    """

    curve: np.ndarray
    seconds: float
    is_random: bool
    notes: Mapping[str, int]


class RepeatStore:
    """The repeats of one replay in a file that may hold those of others.

    Attributes:
        path: the file, made with the first repeat.
    """

    def __init__(
        self, path: Path, table: Table, strategies: Sequence[Strategy], *, n_trials: int
    ) -> None:
        self.path = path
        self._n_trials = n_trials
        self._about = [{"table": table.name, "strategy": s.type} for s in strategies]
        of_table = table_key(table)
        self._keys = [_repeat_key(of_table, strategy, n_trials) for strategy in strategies]

    def read(self, seeds: Iterable[int]) -> dict[tuple[int, int], Repeat]:
        """Repeats by the place of their strategy and their seed.

        Raises ConfigError for a file that cannot be written, or that holds something else.
        """
        make_folder(self.path.parent)
        with clear_write_errors(self.path), self.path.open("a+b") as file:
            file.seek(0)
            found = self._found(file)
            file.seek(0)
            if not _ends_a_line(file):
                file.write(b"\n")  # the next repeat gets a line of its own
        return {
            (place, seed): found[key, seed]
            for place, key in enumerate(self._keys)
            for seed in seeds
            if (key, seed) in found
        }

    def append(self, place: int, repeats: Mapping[int, Repeat]) -> None:
        """Keep finished repeats of a strategy by their seeds."""
        lines = []
        for seed, repeat in repeats.items():
            record = {
                "replay": self._keys[place],  # first, see _BEGIN
                **self._about[place],
                "seed": seed,
                "is_random": repeat.is_random,
                "seconds": round(repeat.seconds, 6),
                "notes": dict(repeat.notes),
                "curve": repeat.curve.tolist(),
            }
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        with clear_write_errors(self.path), self.path.open("ab") as file:
            file.write("".join(lines).encode())  # at once: two processes may add to one file

    def _found(self, lines: Iterable[bytes]) -> dict[tuple[str, int], Repeat]:
        keys = {key.encode() for key in self._keys}
        found: dict[tuple[str, int], Repeat] = {}
        for number, line in enumerate(lines):
            if number == 0 and not (line.startswith(_BEGIN) or _BEGIN.startswith(line.strip())):
                raise ConfigError(
                    f"{self.path}: holds no repeats of a replay; name a new file to keep them in"
                )
            key = line[len(_BEGIN) :].partition(b'"')[0]
            if key in keys:
                seed, repeat = _parsed(line)
                if repeat is not None and repeat.curve.shape == (self._n_trials,):
                    found.setdefault((key.decode(), seed), repeat)
        return found


def _parsed(line: bytes) -> tuple[int, Repeat | None]:
    """Seed and repeat of a line; None for one that was cut off."""
    try:
        record = json.loads(line)
        repeat = Repeat(
            curve=np.array(list(map(float, record["curve"]))),
            seconds=float(record["seconds"]),
            is_random=bool(record["is_random"]),
            notes={str(note): int(count) for note, count in record["notes"].items()},
        )
        return int(record["seed"]), repeat
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0, None


def _ends_a_line(file: Any) -> bool:
    size = file.seek(0, 2)
    if size == 0:
        return True
    file.seek(size - 1)
    return bool(file.read(1) == b"\n")


def table_key(table: Table) -> str:
    """Hash of a table with the objectives and limits of a run: of what a search can see of it."""
    space = table.space
    digest = hashlib.sha256()
    about = {
        "objectives": table.objectives,
        "signs": table.signs,
        "limits": [limit.model_dump() for limit in table.limits],
        "seen_seed": table.seen_seed,
        "dimensions": [dimension._asdict() for dimension in space.dimensions],
        "static": list(table.static),
        "features": list(space.features(space.points()[0])),
    }
    digest.update(canonical_json(about).encode())
    features = [list(space.features(point).values()) for point in space.points()]
    arrays = (space.levels, table.shown, table.scored, *table.static.values(), np.array(features))
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _repeat_key(of_table: str, strategy: Strategy, n_trials: int) -> str:
    settings = strategy.model_dump(mode="json")
    packages = {"archsmith", type(strategy).__module__.partition(".")[0]}
    return content_hash(
        {
            "table": of_table,
            "settings": settings,
            "files": {name: _file_hash(Path(name)) for name in _files(settings)},
            "n_trials": n_trials,
            "versions": {name: _version(name) for name in _PACKAGES},
            "code": {name: _code(name) for name in sorted(packages)},
        }
    )


def _files(value: Any) -> Iterator[str]:
    """Names of files among the settings, as those of earlier studies."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _files(inner)
    elif isinstance(value, str) and Path(value).is_file():
        yield value


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@lru_cache(maxsize=8)
def _code(package: str) -> str:
    """Hash of a package's source: a version number alone says nothing of code under way."""
    module = sys.modules[package]
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    files = [(str(p.relative_to(f)), p) for f in folders for p in f.rglob("*.py")]
    if not files and getattr(module, "__file__", None):
        files = [("", Path(str(module.__file__)))]
    return content_hash("".join(f"{name} {_file_hash(path)}\n" for name, path in sorted(files)))

"""Recorded tables of networks that others really trained, where the folder with them is given."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest


def table(name: str) -> list[dict[str, str]]:
    """Rows of a recorded table from the folder `replay` beside ARCHSMITH_TEST_DATA, or skip."""
    texts = os.environ.get("ARCHSMITH_TEST_DATA")
    path = Path(texts).parent / "replay" / name if texts else None
    if path is None or not path.is_file():
        pytest.skip(f"needs {name} in a folder 'replay' beside ARCHSMITH_TEST_DATA")
    with gzip.open(path, "rt") as lines:
        return list(csv.DictReader(lines))


class RowSpace:
    """A space of rows that are all neighbours; features by name."""

    def __init__(self, features):
        self._features = dict(features)
        self._rows = list(self._features)

    def sample(self, rng):
        return rng.choice(self._rows)

    def mutate(self, point, rng):
        return rng.choice([row for row in self._rows if row != point])

    def crossover(self, first, second, rng):
        return rng.choice((first, second))

    def neighbours(self, point):
        return [row for row in self._rows if row != point]

    def contains(self, point):
        return point in self._features

    def encode(self, point):
        return np.array([float(self._rows.index(point))])

    def features(self, point):
        return self._features[point]

    def log10_size(self):
        return float(np.log10(len(self._rows)))

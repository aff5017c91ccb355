"""Readings of a made-up law, for tests of the surrogate."""

import gzip
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from archsmith.surrogate.readings import Reading


def planted(features, train_bytes=None):
    """Bits per byte of a law with other letters than the prior's."""
    size = features["log_num_non_embedding_params"] - math.log(1e6)
    bits = 0.6 + 0.7 * math.exp(-0.35 * size)
    bits += 0.02 * (features["log_width_depth_ratio"] - math.log(30.0)) ** 2
    if train_bytes is not None:
        bits += 0.9 * (train_bytes / 1e6) ** -0.3
    return bits


def draw_features(rng, **more):
    return {
        "log_num_non_embedding_params": math.log(1e6) + rng.uniform(-2, 4),
        "log_width_depth_ratio": math.log(30.0) + rng.uniform(-1.8, 1.8),
        **more,
    }


def draw_readings(count, *, seed=0, noise=0.004, train_bytes=None, extra=None):
    """Readings of the planted law; `extra(features)` is added to a reading's value."""
    rng = np.random.default_rng(seed)
    readings = []
    for _ in range(count):
        features = draw_features(rng, wave=rng.uniform(-1, 1))
        value = planted(features, train_bytes) + noise * rng.standard_normal()
        value += extra(features) if extra else 0.0
        readings.append(Reading(features, value, train_bytes))
    return readings


def recorded(name):
    """Rows of a recorded table from the folder `replay` beside ARCHSMITH_TEST_DATA, or skip."""
    texts = os.environ.get("ARCHSMITH_TEST_DATA")
    path = Path(texts).parent / "replay" / name if texts else None
    if path is None or not path.is_file():
        pytest.skip(f"needs {name} in a folder 'replay' beside ARCHSMITH_TEST_DATA")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]

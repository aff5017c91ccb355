"""Readings: one number measured of one network after some text; and what a space's schema allows.

The names of the features decide, never the name of a space: with the size and the shape of a
decoder among them a scaling law can be the mean of the surrogate, without them it is switched off.
Features named `choice_...` are unordered choices; all others are numbers.
"""

from collections.abc import Hashable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from archsmith.errors import ConfigError
from archsmith.prior import REFERENCE_BITS_PER_BYTE

# Without these there is no law; the law's other terms drop out one by one where theirs are missing.
LAW_FEATURES = ("log_num_non_embedding_params", "log_width_depth_ratio")
_WIDTH_AND_DEPTH = ("log_hidden_size", "log_num_hidden_layers")  # what the ratio follows from
CHOICE_PREFIX = "choice_"


class Reading(NamedTuple):
    """A value measured of a network.

    Attributes:
        features: the network's, by name; all readings have the same names.
        value: what is predicted, the smaller the better: bits per byte for the law.
        train_bytes: bytes of text read in training, repetitions included; None if not known.
        unique_bytes: different text there was; None if nothing was read twice.
        trunk: readings of one trunk at several rungs share it, and with it the trunk's luck; None
            for a training of its own.
        corpus: the text's name, for leaving one out.
        corpus_bits_per_byte: of an n-gram model on the text, see `archsmith.prior`.
        source: the earlier study it is from, whose values differ from this study's by an amount
            that is not known, the same for all of them; empty for this study's own.
    """

    features: Mapping[str, float]
    value: float
    train_bytes: float | None = None
    unique_bytes: float | None = None
    trunk: Hashable | None = None
    corpus: str = ""
    corpus_bits_per_byte: float = REFERENCE_BITS_PER_BYTE
    source: str = ""


def has_law(names: Sequence[str]) -> bool:
    """Whether a scaling law can read features of these names, see `law_columns`."""
    size, shape = LAW_FEATURES
    return size in names and (shape in names or all(name in names for name in _WIDTH_AND_DEPTH))


def law_columns(readings: Sequence[Reading]) -> dict[str, np.ndarray]:
    """The features as a law reads them, each [readings]; width over depth where it is not told."""
    names = readings[0].features if readings else ()
    found = {name: np.array([r.features[name] for r in readings], float) for name in names}
    shape = LAW_FEATURES[1]
    if shape not in found and all(name in found for name in _WIDTH_AND_DEPTH):
        width, depth = (found[name] for name in _WIDTH_AND_DEPTH)
        found[shape] = width - depth
    return found


def columns(features: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """The features as numbers, [points, names]. Raises ConfigError for missing or infinite ones."""
    try:
        pick = itemgetter(*names) if len(names) > 1 else lambda point: [point[n] for n in names]
        table = np.array([pick(point) for point in features], dtype=np.float64)
    except KeyError as error:
        raise ConfigError(f"a point lacks the feature {error} that others have") from None
    if not np.isfinite(table).all():
        bad = names[int(np.argwhere(~np.isfinite(table))[0][1])]
        raise ConfigError(f"the feature '{bad}' of a point is not a finite number")
    return table.reshape(len(features), len(names))


def sources(readings: Sequence[Reading]) -> tuple[str, ...]:
    """The earlier studies that readings are from, each once."""
    return tuple(dict.fromkeys(reading.source for reading in readings if reading.source))


def source_table(readings: Sequence[Reading], names: Sequence[str]) -> np.ndarray:
    """1 where a reading is from an earlier study, else 0; [readings, names]."""
    found = [[float(reading.source == name) for name in names] for reading in readings]
    return np.array(found, dtype=np.float64).reshape(len(readings), len(names))


def group_numbers(readings: Sequence[Reading]) -> np.ndarray:
    """A number per trunk, equal for readings of one trunk; [readings], int64."""
    numbers: dict[Hashable, int] = {}
    keys = [("alone", i) if r.trunk is None else ("trunk", r.trunk) for i, r in enumerate(readings)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)

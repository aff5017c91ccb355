"""How wrong a surrogate is where nothing was measured: a size or a corpus left out altogether.

It is the one a search proposes by: all kinds, weighed, its intervals as they are. To calibrate them
would fit each group's rest five times.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from archsmith.errors import ConfigError, EvaluationError
from archsmith.surrogate.outliers import Tamed, tame
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate
from archsmith.units import format_count

_SAME_SIZE = 0.25  # of the logarithm of non-embedding parameters: within a quarter, one class


class Extrapolation(NamedTuple):
    """Errors on groups left out.

    Attributes:
        error_by_group: mean absolute error in the values' unit, by group.
        mean_error: over all readings left out.
        difference_error: the same once the mean error of each group is taken off: what is told of
            the differences between its networks.
        coverage: share of them inside intervals of 90 %, which are not calibrated.
        num_readings: that were predicted.
        notes: values far above the rest, and groups that could not be predicted, and why.
    """

    error_by_group: dict[str, float]
    mean_error: float
    difference_error: float
    coverage: float
    num_readings: int
    notes: tuple[str, ...]


def leave_one_size_out(readings: Sequence[Reading], *, unit: float = 1.0) -> Extrapolation:
    """Every class of sizes predicted from the others; classes are a quarter apart, or more.

    Raises ConfigError where there are fewer than two, or the size is not known.
    """
    name = "log_num_non_embedding_params"
    if not readings or name not in readings[0].features:
        raise ConfigError(f"leaving sizes out needs the feature '{name}'")
    sizes = sorted({reading.features[name] for reading in readings})
    classes: dict[float, str] = {}
    first = sizes[0]
    for size in sizes:
        first = first if size - first < _SAME_SIZE else size
        classes[size] = f"from {format_count(round(math.exp(first)))} parameters"
    tamed = tame(readings)
    found = _leave_out(tamed, lambda reading: classes[reading.features[name]], unit, "sizes")
    errors = found.error_by_group
    return found._replace(
        error_by_group={one: errors[one] for one in classes.values() if one in errors}
    )


def leave_one_corpus_out(readings: Sequence[Reading], *, unit: float = 1.0) -> Extrapolation:
    """Every corpus predicted from the others, by how hard its text is told to be.

    What lies beside another is part of the error. Raises ConfigError where there are fewer than
    two.
    """
    tamed = tame(readings)
    plain = [reading._replace(source="") for reading in tamed.readings]
    return _leave_out(
        tamed._replace(readings=plain), lambda reading: reading.corpus, unit, "corpora"
    )


def _leave_out(
    tamed: Tamed, group: Callable[[Reading], Hashable], unit: float, what: str
) -> Extrapolation:
    readings = tamed.readings
    groups = list(dict.fromkeys(group(reading) for reading in readings))
    if len(groups) < 2:
        raise ConfigError(f"leaving {what} out needs at least two, got {len(groups)}")
    by_group, errors, inside = {}, [], []
    notes = [tamed.note] if tamed.note else []
    differences: list[float] = []
    for one in groups:
        kept = [reading for reading in readings if group(reading) != one]
        left = [reading for reading in readings if group(reading) == one]
        try:
            forecast = fit_surrogate(kept, unit=unit, calibrate=False).predict(left)
        except EvaluationError as error:
            notes.append(f"{one}: {error}")
            continue
        values = np.array([reading.value for reading in left])
        away = forecast.mean - values
        by_group[str(one)] = float(np.abs(away).mean())
        errors += np.abs(away).tolist()
        differences += np.abs(away - away.mean()).tolist()
        inside += ((forecast.low <= values) & (values <= forecast.high)).tolist()
    return Extrapolation(
        by_group,
        float(np.mean(errors)) if errors else math.nan,
        float(np.mean(differences)) if differences else math.nan,
        float(np.mean(inside)) if inside else math.nan,
        len(errors),
        tuple(notes),
    )

"""The kinds of surrogate, law only, law + process and process only, weighed by the readings.

Each kind is fitted and asked for every reading without its trunk; `stack` weighs the answers. A
kind that fails to fit is left out and named. The readings decide hyperparameters and weights at
once: who wants to know how wrong the whole is leaves readings out of all of it, see
`archsmith.surrogate.calibration`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archsmith.errors import EvaluationError
from archsmith.surrogate.law import LawFit
from archsmith.surrogate.process import Fitted, Kind, fit_process
from archsmith.surrogate.readings import Reading, has_law
from archsmith.surrogate.schema import fit_mean, inputs, make_schema
from archsmith.surrogate.stack import Stack, stack

FEWEST = 3  # readings a process needs
_ORDER = (Kind.MEAN, Kind.BOTH, Kind.PROCESS)


class Weighed(NamedTuple):
    """What the readings make of the kinds.

    Attributes:
        stack: the kinds with their weights.
        log_densities: sum over readings left out, by kind.
        notes: what failed, in sentences.
    """

    stack: Stack
    log_densities: Mapping[Kind, float]
    notes: tuple[str, ...]


def weigh_kinds(
    readings: Sequence[Reading],
    *,
    unit: float = 1.0,
    kinds: Sequence[Kind] = _ORDER,
    law: bool = True,
    iterations: int = 40,
) -> Weighed:
    """Fit each kind to the readings and weigh them, see `fit_surrogate` for the arguments.

    Args:
        readings: at least one, with finite values; fewer than `FEWEST` get the mean alone.

    Raises:
        EvaluationError: not even the simplest kind could be fitted.
    """
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    asked = law and any(kind is not Kind.PROCESS for kind in kinds)
    mean, notes = _fit_law(readings, unit) if asked else (None, [])
    found: dict[Kind, Fitted] = {}
    few = len(readings) < FEWEST
    # weights of a linear mean and of a process are fitted: both together are either alone, too
    order = _ORDER if mean is not None else (Kind.BOTH, Kind.MEAN, Kind.PROCESS)
    for kind in sorted(kinds, key=order.index):
        if few and kind is not Kind.MEAN:
            continue
        if mean is None and found:
            break
        schema = make_schema(readings, law=None if kind is Kind.PROCESS else mean)
        try:
            table = inputs(schema, readings)
            found[kind] = fit_process(
                schema, table, values, kind, iterations=0 if few else iterations
            )
        except EvaluationError as error:
            notes.append(f"'{kind}' was left out: {error}")
    if not found:
        if few and Kind.MEAN not in kinds:
            notes.append(f"a process needs at least {FEWEST} readings, got {len(readings)}")
        raise EvaluationError("no surrogate fits the readings: " + "; ".join(notes))
    densities = {kind: float(fitted.log_densities.sum()) for kind, fitted in found.items()}
    return Weighed(stack(found), densities, tuple(notes))


def _fit_law(readings: Sequence[Reading], unit: float) -> tuple[LawFit | None, list[str]]:
    if has_law(tuple(readings[0].features)) and min(reading.value for reading in readings) <= 0:
        return None, ["the law was left out: it needs positive values"]
    try:
        return fit_mean(readings, unit=unit), []
    except (ValueError, np.linalg.LinAlgError) as error:
        return None, [f"the law was left out: {error}"]

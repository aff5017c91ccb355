"""The surrogate of one metric: law only, law + process or process only, as the readings decide.

Each kind is fitted and asked for every reading without its trunk; the highest sum of log densities
wins, the mean alone where a process is hardly better. A kind that fails to fit is left out and
named. Intervals are those of the process times a scale at which readings left out were covered as
often as they should be, and widen beyond four times the longest text read.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student

from archsmith.errors import ConfigError, EvaluationError
from archsmith.prior import shipped
from archsmith.surrogate.law import LawFit
from archsmith.surrogate.process import Fitted, Kind, condition, fit_process, scaled
from archsmith.surrogate.readings import Reading, group_numbers
from archsmith.surrogate.schema import fit_mean, inputs, make_schema

FAR = 4.0  # times the longest text read, beyond which intervals widen
_TIE = 2.0  # of log density, by which a process has to be better than none
_SCALE_WEIGHT = 6.0  # readings that the scale 1 counts as
_FOLDS = 4
_FEWEST = 3  # readings a process needs
_ORDER = (Kind.MEAN, Kind.BOTH, Kind.PROCESS)


class Forecast(NamedTuple):
    """Of each point, [n]: mean, standard deviation of a measurement, ends of the interval."""

    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Surrogate(NamedTuple):
    """A fitted surrogate.

    Attributes:
        fitted: the process that won.
        log_densities: of readings left out, by kind; what was compared.
        notes: what failed and what took its place, in sentences.
        scale: calibration of the deviations, by readings left out.
        longest_bytes: the longest text a reading had; None where that is not known.
        num_readings: it was fitted to.
        trunks: the number of each trunk among the columns.
    """

    fitted: Fitted
    log_densities: Mapping[Kind, float]
    notes: tuple[str, ...]
    scale: float
    longest_bytes: float | None
    num_readings: int
    trunks: Mapping[Hashable, int]

    @property
    def description(self) -> str:
        """What it is, for the store: "law + process"."""
        mean = "law" if self.fitted.schema.law else "linear mean"
        return self.fitted.kind.replace("mean", mean)

    @property
    def skill(self) -> float:
        """Rank correlation of readings with what the others predict of them; 0 where all tie."""
        left_out, _ = self.fitted.left_out
        if len(left_out) < _FEWEST or np.ptp(left_out) == 0 or np.ptp(self.fitted.target) == 0:
            return 0.0
        return float(spearmanr(left_out, self.fitted.target).statistic)

    def columns(self, points: Sequence[Reading]) -> np.ndarray:
        """Points for the model, [n, columns], float64; trunks that were not read are new ones."""
        new = iter(range(-1, -len(points) - 1, -1))
        numbers = [self.trunks[p.trunk] if p.trunk in self.trunks else next(new) for p in points]
        return inputs(self.fitted.schema, points, trunks=numbers)

    def predict(self, points: Sequence[Reading], *, coverage: float = 0.9) -> Forecast:
        """The values measured at points would have (their own `value` is not read).

        A point with the trunk of a fitted reading is that trunk; others are new.
        """
        schema = self.fitted.schema
        mean, variance = self.fitted.predict(self.columns(points))
        mean = mean * schema.scale + schema.offset
        deviation = self.scale * schema.scale * np.sqrt(variance)
        deviation = np.hypot(deviation, np.abs(mean) * self._far(points))
        freedom = max(self.num_readings - 3.0, 3.0)
        if schema.law is not None and self.fitted.kind is Kind.MEAN:
            freedom = max(schema.law.freedom, 2.0)
        reach = float(student.ppf(0.5 + coverage / 2, freedom)) * deviation
        return Forecast(mean, deviation, mean - reach, mean + reach)

    def _far(self, points: Sequence[Reading]) -> np.ndarray:
        """Relative standard deviation for text beyond `FAR` times the longest read."""
        if self.longest_bytes is None:
            return np.zeros(len(points))
        texts = np.array([point.train_bytes or 0.0 for point in points])
        doublings = np.log2(np.maximum(texts / (FAR * self.longest_bytes), 1.0))
        return np.asarray(shipped().log_error_per_doubling / 1.645 * doublings)


def fit_surrogate(
    readings: Sequence[Reading],
    *,
    unit: float = 1.0,
    kinds: Sequence[Kind] = _ORDER,
    law: bool = True,
    iterations: int = 40,
    calibrate: bool = True,
) -> Surrogate:
    """Fit what the readings can tell, and choose by readings left out.

    Args:
        unit: what one bit per byte is in the values' unit, see `law.fit_law`.
        kinds: what to choose from.
        law: whether a law may be the mean, where the features allow it: for losses.
        iterations: of the search for hyperparameters, at most.
        calibrate: the deviations by refits to three quarters of the trunks; else as they are.

    Raises:
        ConfigError: no readings, or values that are not finite.
        EvaluationError: not even the simplest kind could be fitted.
    """
    if not readings:
        raise ConfigError("a surrogate needs at least one reading")
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ConfigError("a surrogate needs finite values")
    mean, notes = _fit_law(readings, unit) if law else (None, [])
    found: dict[Kind, Fitted] = {}
    few = len(readings) < _FEWEST
    # weights of a linear mean and of a process are fitted: both together are either alone, too
    order = _ORDER if mean is not None else (Kind.BOTH, Kind.MEAN, Kind.PROCESS)
    for kind in sorted(kinds, key=order.index):
        if few and kind is not _ORDER[0]:
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
        raise EvaluationError("no surrogate fits the readings: " + "; ".join(notes))
    densities = {kind: fitted.log_density for kind, fitted in found.items()}
    chosen = max(found, key=lambda kind: densities[kind])
    simplest = next(iter(found))
    if densities[simplest] >= densities[chosen] - _TIE:
        chosen = simplest
    scale = 1.0
    if calibrate and not few:
        scale = calibration(readings, found[chosen], unit=unit, iterations=iterations)
    return _surrogate(readings, found[chosen], densities, tuple(notes), scale)


def update_surrogate(surrogate: Surrogate, readings: Sequence[Reading]) -> Surrogate:
    """The same law, kind and hyperparameters, conditioned on other readings.

    Raises EvaluationError where the covariance is not invertible.
    """
    fitted = surrogate.fitted
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    renewed = condition(fitted, inputs(fitted.schema, readings), values)
    return _surrogate(readings, renewed, surrogate.log_densities, surrogate.notes, surrogate.scale)


def _surrogate(
    readings: Sequence[Reading],
    fitted: Fitted,
    densities: Mapping[Kind, float],
    notes: tuple[str, ...],
    scale: float,
) -> Surrogate:
    texts = [reading.train_bytes for reading in readings if reading.train_bytes is not None]
    numbers = group_numbers(readings)
    trunks = {
        reading.trunk: int(number)
        for reading, number in zip(readings, numbers, strict=True)
        if reading.trunk is not None
    }
    return Surrogate(
        fitted=fitted,
        log_densities=densities,
        notes=notes,
        scale=scale,
        longest_bytes=max(texts, default=None),
        num_readings=len(readings),
        trunks=trunks,
    )


def calibration(
    readings: Sequence[Reading], fitted: Fitted, *, unit: float, iterations: int
) -> float:
    """The factor at which deviations match the errors of readings left out, law and all.

    Folds of whole trunks are left out of the fit itself: hyperparameters chosen with a reading
    at hand are too sure of it. Every fold begins at the fit to all.
    """
    numbers = group_numbers(readings)
    num_folds = min(_FOLDS, int(numbers.max()) + 1)
    # neighbours in value in different folds: a fold that holds all the best extrapolates
    order = np.argsort([r.value for r in readings], kind="stable")
    fold_of_group = np.full(int(numbers.max()) + 1, -1)
    for place, group in enumerate(dict.fromkeys(numbers[order].tolist())):
        fold_of_group[group] = place % num_folds
    folds = fold_of_group[numbers]
    scores: list[float] = []
    for fold in range(num_folds):
        kept = [reading for reading, own in zip(readings, folds, strict=True) if own != fold]
        left = [reading for reading, own in zip(readings, folds, strict=True) if own == fold]
        try:
            law = fit_mean(kept, unit=unit) if fitted.schema.law else None
            schema = make_schema(kept, law=law)
            values = np.array([reading.value for reading in kept])
            refitted = fit_process(
                schema, inputs(schema, kept), values, fitted.kind, iterations=iterations
            )
            mean, variance = refitted.predict(inputs(schema, left, trunks=range(-len(left), 0)))
            away = scaled(schema, np.array([reading.value for reading in left])) - mean
            scores += (away / np.sqrt(variance)).tolist()
        except (EvaluationError, RuntimeError, ValueError, np.linalg.LinAlgError):
            continue
    total = float(np.sum(np.square(scores))) + _SCALE_WEIGHT
    return math.sqrt(total / (len(scores) + _SCALE_WEIGHT))


def _fit_law(readings: Sequence[Reading], unit: float) -> tuple[LawFit | None, list[str]]:
    try:
        return fit_mean(readings, unit=unit), []
    except (ValueError, np.linalg.LinAlgError) as error:
        return None, [f"the law was left out: {error}"]

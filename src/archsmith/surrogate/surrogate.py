"""The surrogate of one metric: law only, law + process or process only, as the readings decide.

The kind is chosen by readings left out (`kinds`). Intervals are those of the process times a scale
at which the errors of readings left out are as large as they were said to be, kind and all chosen
without them (`calibration`), and widen beyond four times the longest text read.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student

from archsmith.errors import ConfigError
from archsmith.prior import shipped
from archsmith.surrogate.calibration import calibration
from archsmith.surrogate.kinds import FEWEST, Chosen, choose_kind
from archsmith.surrogate.process import Fitted, Kind, condition
from archsmith.surrogate.readings import Reading, group_numbers
from archsmith.surrogate.schema import inputs

FAR = 4.0  # times the longest text read, beyond which intervals widen


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
        if len(left_out) < FEWEST or np.ptp(left_out) == 0 or np.ptp(self.fitted.target) == 0:
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
    kinds: Sequence[Kind] = tuple(Kind),
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
        calibrate: the deviations, by all of this done again to three quarters of the trunks, four
            times; else as they are.

    Raises:
        ConfigError: no readings, or values that are not finite.
        EvaluationError: not even the simplest kind could be fitted.
    """
    if not readings:
        raise ConfigError("a surrogate needs at least one reading")
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ConfigError("a surrogate needs finite values")
    fit = partial(choose_kind, unit=unit, kinds=kinds, law=law, iterations=iterations)
    chosen = fit(readings)
    scale = 1.0
    if calibrate and len(readings) >= FEWEST:
        scale = calibration(readings, lambda kept: fit(kept).fitted)
    return _surrogate(readings, chosen, scale)


def update_surrogate(surrogate: Surrogate, readings: Sequence[Reading]) -> Surrogate:
    """The same law, kind and hyperparameters, conditioned on other readings.

    Raises EvaluationError where the covariance is not invertible.
    """
    fitted = surrogate.fitted
    values = np.array([reading.value for reading in readings], dtype=np.float64)
    renewed = condition(fitted, inputs(fitted.schema, readings), values)
    chosen = Chosen(renewed, surrogate.log_densities, surrogate.notes)
    return _surrogate(readings, chosen, surrogate.scale)


def _surrogate(readings: Sequence[Reading], chosen: Chosen, scale: float) -> Surrogate:
    texts = [reading.train_bytes for reading in readings if reading.train_bytes is not None]
    numbers = group_numbers(readings)
    trunks = {
        reading.trunk: int(number)
        for reading, number in zip(readings, numbers, strict=True)
        if reading.trunk is not None
    }
    return Surrogate(
        fitted=chosen.fitted,
        log_densities=chosen.log_densities,
        notes=chosen.notes,
        scale=scale,
        longest_bytes=max(texts, default=None),
        num_readings=len(readings),
        trunks=trunks,
    )

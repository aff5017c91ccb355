"""The surrogate of one metric: law, law + process and process, as the readings weigh them.

The kinds are weighed by readings left out (`kinds`, `stack`). Intervals are those of the mixture
times a scale at which the errors of readings left out are as large as they were said to be, weights
and all found without them (`calibration`), and widen beyond four times the longest text read.
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
from archsmith.surrogate.kinds import FEWEST, Weighed, weigh_kinds
from archsmith.surrogate.outliers import Tamed, tame
from archsmith.surrogate.process import Kind, Posterior
from archsmith.surrogate.readings import Reading, group_numbers
from archsmith.surrogate.stack import Stack

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
        stack: the kinds that were fitted, with their weights.
        log_densities: of readings left out, by kind; what was compared.
        notes: what failed, in sentences.
        scale: calibration of the deviations, by readings left out.
        longest_bytes: the longest text a reading had, of this study's own where it has any; None
            where that is not known.
        num_readings: it was fitted to.
        trunks: the number of each trunk among the columns.
        own: which readings are this study's own.
        is_loss: whether a law may be the mean, and values far above the rest are tamed.
        tamed: what was done about such values, in words; empty if there were none.
        ceiling: the largest value that counts as it is, in the values' unit; infinite where all do.
    """

    stack: Stack
    log_densities: Mapping[Kind, float]
    notes: tuple[str, ...]
    scale: float
    longest_bytes: float | None
    num_readings: int
    trunks: Mapping[Hashable, int]
    own: tuple[bool, ...]
    is_loss: bool
    tamed: str
    ceiling: float

    @property
    def description(self) -> str:
        """What it is, for the store: "law only", or "0.72 law + process, 0.28 process".

        What was done about values far above the rest follows.
        """
        law = any(part.fitted.schema.law for part in self.stack.parts)
        names = [
            (part.weight, part.fitted.kind.replace("mean", "law" if law else "linear mean"))
            for part in self.stack.parts
        ]
        told = [f"{weight:.2f} {name.removesuffix(' only')}" for weight, name in names]
        told = [names[0][1]] if len(names) == 1 else told
        return ", ".join([*told, self.tamed] if self.tamed else told)

    @property
    def skill(self) -> float:
        """Rank correlation of readings with what the others predict of them; 0 where all tie.

        Of this study's own readings: how far others lie beside them says nothing of a ranking.
        """
        predicted, values = (found[list(self.own)] for found in self.stack.left_out)
        if len(values) < FEWEST or np.ptp(predicted) == 0 or np.ptp(values) == 0:
            return 0.0
        return float(spearmanr(predicted, values).statistic)

    def posterior(self, points: Sequence[Reading], *, others: int = 0) -> Posterior:
        """At points without noise, in the stack's scale; covariance with those from `others` on.

        What an acquisition draws from. It widens with the text as `predict` does, by one error that
        all points share: how far a horizon was missed says little of who is better there. It is not
        calibrated (`scale`): see experiments/2026-11-22-intervals.
        """
        found = self.stack.posterior(points, trunks=self._trunk_numbers(points), others=others)
        far = self._far(points)
        if not far.any():
            return found
        away = far * np.abs(found.mean + self.stack.offset / self.stack.scale)
        return Posterior(
            found.mean,
            found.variance + away**2,
            found.covariance + np.outer(away, away[others:]),
        )

    def predict(self, points: Sequence[Reading], *, coverage: float = 0.9) -> Forecast:
        """The values measured at points would have (their own `value` is not read).

        A point with the trunk of a fitted reading is that trunk; others are new.
        """
        stack = self.stack
        mean, variance = stack.predict(points, trunks=self._trunk_numbers(points))
        mean = mean * stack.scale + stack.offset
        deviation = self.scale * stack.scale * np.sqrt(variance)
        deviation = np.hypot(deviation, np.abs(mean) * self._far(points))
        freedom = max(self.num_readings - 3.0, 3.0)
        alone = stack.heaviest if len(stack.parts) == 1 else None
        if alone is not None and alone.kind is Kind.MEAN and alone.schema.law is not None:
            freedom = max(alone.schema.law.freedom, 2.0)
        reach = float(student.ppf(0.5 + coverage / 2, freedom)) * deviation
        return Forecast(mean, deviation, mean - reach, mean + reach)

    def _trunk_numbers(self, points: Sequence[Reading]) -> list[int]:
        """Those of trunks that were read; others are new ones, each for itself."""
        new = iter(range(-1, -len(points) - 1, -1))
        return [self.trunks[p.trunk] if p.trunk in self.trunks else next(new) for p in points]

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
    """Fit what the readings can tell, weighed by readings left out.

    Args:
        unit: what one bit per byte is in the values' unit, see `law.fit_law`.
        kinds: what to weigh.
        law: whether a law may be the mean, where the features allow it: for losses. Of these,
            values far above the rest are tamed, see `outliers`.
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
    tamed = tame(readings) if law else Tamed(readings)
    fit = partial(weigh_kinds, unit=unit, kinds=kinds, law=law, iterations=iterations)
    weighed = fit(tamed.readings)
    scale = 1.0
    if calibrate and len(tamed.readings) >= FEWEST:
        scale = calibration(tamed.readings, lambda kept: fit(kept).stack)
    return _surrogate(tamed, weighed, scale, is_loss=law)


def update_surrogate(surrogate: Surrogate, readings: Sequence[Reading]) -> Surrogate:
    """The same laws, weights and hyperparameters, conditioned on other readings.

    Raises EvaluationError where a covariance is not invertible.
    """
    tamed = tame(readings) if surrogate.is_loss else Tamed(readings)
    weighed = Weighed(
        surrogate.stack.conditioned(tamed.readings), surrogate.log_densities, surrogate.notes
    )
    return _surrogate(tamed, weighed, surrogate.scale, is_loss=surrogate.is_loss)


def _surrogate(tamed: Tamed, weighed: Weighed, scale: float, *, is_loss: bool) -> Surrogate:
    readings = tamed.readings
    known = [reading for reading in readings if reading.train_bytes is not None]
    # what an earlier study read says nothing of how far this one's text reaches
    own = [reading for reading in known if not reading.source] or known
    numbers = group_numbers(readings)
    trunks = {
        reading.trunk: int(number)
        for reading, number in zip(readings, numbers, strict=True)
        if reading.trunk is not None
    }
    return Surrogate(
        stack=weighed.stack,
        log_densities=weighed.log_densities,
        notes=weighed.notes,
        scale=scale,
        longest_bytes=max((reading.train_bytes or 0.0 for reading in own), default=None),
        num_readings=len(readings),
        trunks=trunks,
        own=tuple(not reading.source for reading in readings),
        is_loss=is_loss,
        tamed=tamed.note,
        ceiling=tamed.ceiling,
    )

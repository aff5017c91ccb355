"""Processes of several kinds as one, each weighted by what it says of readings left out.

Stacking of predictive distributions (Yao, Vehtari, Simpson & Gelman 2018, Bayesian Analysis 13(3),
doi 10.1214/17-BA1091): the weights maximize the density of the mixture at readings left out. Few
readings cannot tell weights, so each kind weighs one reading beforehand. To an acquisition the
mixture is the process of its mean and covariance, in which stands how far the kinds are apart.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archsmith.surrogate.process import Fitted, Kind, Posterior, condition
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.schema import inputs

_BEFOREHAND = 1.0  # readings that each kind weighs before there are any
_LEAST_WEIGHT = 0.01  # what weighs less is left out
_STEPS = 200  # of expectation and maximization; each can only raise the density


class Part(NamedTuple):
    """One kind of process and its weight."""

    weight: float
    fitted: Fitted


class Stack(NamedTuple):
    """A mixture of processes; inside, values are (value - offset) / scale.

    Attributes:
        parts: with weights that sum to 1.
    """

    parts: tuple[Part, ...]

    @property
    def heaviest(self) -> Fitted:
        """The process with the largest weight."""
        return max(self.parts, key=lambda part: part.weight).fitted

    @property
    def offset(self) -> float:
        """In the values' unit."""
        return self.heaviest.schema.offset

    @property
    def scale(self) -> float:
        """In the values' unit."""
        return self.heaviest.schema.scale

    @property
    def noise(self) -> float:
        """Variance of a measurement, scaled."""
        return sum(part.weight * self._ratio(part) ** 2 * part.fitted.noise for part in self.parts)

    @property
    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """What is predicted of each reading by those of other trunks, and its value, scaled."""
        means = [self._moved(part, part.fitted.left_out[0]) for part in self.parts]
        first = self.parts[0]
        return self._mean(means), self._moved(first, first.fitted.target)

    def posterior(
        self, points: Sequence[Reading], *, trunks: Sequence[int], others: int = 0
    ) -> Posterior:
        """At points, scaled; `covariance` is with the points from the place `others` on."""
        means, variance = [], np.zeros(len(points))
        covariance = np.zeros((len(points), len(points) - others))
        for part in self.parts:
            table = inputs(part.fitted.schema, points, trunks=trunks)
            found = part.fitted.posterior(table, table[others:])
            means.append(self._moved(part, found.mean))
            variance += part.weight * self._ratio(part) ** 2 * found.variance
            covariance += part.weight * self._ratio(part) ** 2 * found.covariance
        mean = self._mean(means)
        for part, own in zip(self.parts, means, strict=True):
            apart = own - mean
            variance += part.weight * apart**2
            covariance += part.weight * np.outer(apart, apart[others:])
        return Posterior(mean, variance, covariance)

    def predict(
        self, points: Sequence[Reading], *, trunks: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of measurements at points, scaled; [points], [points]."""
        means, squares = [], np.zeros(len(points))
        for part in self.parts:
            mean, variance = part.fitted.predict(inputs(part.fitted.schema, points, trunks=trunks))
            means.append(self._moved(part, mean))
            squares += part.weight * self._ratio(part) ** 2 * variance
        mean = self._mean(means)
        for part, own in zip(self.parts, means, strict=True):
            squares += part.weight * (own - mean) ** 2
        return mean, squares

    def conditioned(self, readings: Sequence[Reading]) -> "Stack":
        """The same laws, hyperparameters and weights, conditioned on other readings.

        Raises EvaluationError where a covariance is not invertible.
        """
        values = np.array([reading.value for reading in readings], dtype=np.float64)
        return Stack(
            tuple(
                Part(weight, condition(fitted, inputs(fitted.schema, readings), values))
                for weight, fitted in self.parts
            )
        )

    def _ratio(self, part: Part) -> float:
        return part.fitted.schema.scale / self.scale

    def _moved(self, part: Part, scaled: np.ndarray) -> np.ndarray:
        """Values in a part's scale, in the stack's."""
        shift = (part.fitted.schema.offset - self.offset) / self.scale
        return shift + self._ratio(part) * scaled

    def _mean(self, each: Sequence[np.ndarray]) -> np.ndarray:
        weights = [part.weight for part in self.parts]
        return np.asarray(sum(w * own for w, own in zip(weights, each, strict=True)))


def stack(found: Mapping[Kind, Fitted]) -> Stack:
    """Weigh processes that were fitted to the same readings; at least one."""
    fitted = list(found.values())
    weights = mixture_weights(np.stack([one.log_densities for one in fitted], axis=1))
    kept = weights >= min(_LEAST_WEIGHT, float(weights.max()))
    weights = np.where(kept, weights, 0.0) / weights[kept].sum()
    return Stack(
        tuple(
            Part(float(weight), one)
            for weight, one, keep in zip(weights, fitted, kept, strict=True)
            if keep
        )
    )


def mixture_weights(log_densities: np.ndarray) -> np.ndarray:
    """The weights under which the mixture's density of all readings is largest; [kinds].

    Args:
        log_densities: of each reading left out, by each kind; [readings, kinds].
    """
    densities = np.exp(log_densities - log_densities.max(axis=1, keepdims=True))
    count, kinds = densities.shape
    weights = np.full(kinds, 1 / kinds)
    for _ in range(_STEPS):
        shares = weights * densities
        shares /= shares.sum(axis=1, keepdims=True)
        weights = (shares.sum(axis=0) + _BEFOREHAND) / (count + kinds * _BEFOREHAND)
    return weights

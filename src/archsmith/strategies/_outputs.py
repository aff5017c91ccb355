"""Metrics as an acquisition sees them: exact where cost models know them, else a surrogate's."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import Model
from botorch.posteriors import Posterior
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal

from archsmith.strategies._drafts import Finished
from archsmith.strategies._fits import Settings, learn, transform_of
from archsmith.strategies._improvement import Moments
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import update_surrogate
from archsmith.trial import Observation, Problem

_JITTER = 1e-8  # of the scaled variance

# points with the numbers of their trials, if they have one
Asked = Sequence[tuple[Any, int | None]]


class Output(NamedTuple):
    """A metric as the acquisition sees it: a model of points' places, scaled by `scaled`.

    `moments` of points and others are None where the metric is known exactly.
    """

    model: Callable[[Asked], Model]
    moments: Callable[[Asked, Asked], Moments] | None
    scaled: Callable[[float], float]
    description: str


class _Recorded(Model):
    """What is known of all points together, asked for by their places: everything once.

    Where no point meets a limit for sure, BoTorch looks for a lower bound of the objective at
    places it draws about those it knows: between two of them or beyond the last. They are those of
    the nearest point, several of them of one, so that their covariance needs its jitter anew.
    """

    num_outputs = 1

    def __init__(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        super().__init__()
        self._mean, self._covariance = mean, covariance

    def posterior(self, X: torch.Tensor, **options: Any) -> Posterior:
        places = X[..., 0].round().long().clamp(0, len(self._mean) - 1)
        covariance = self._covariance[places.unsqueeze(-1), places.unsqueeze(-2)].clone()
        covariance.diagonal(dim1=-2, dim2=-1).add_(_JITTER)
        return GPyTorchPosterior(MultivariateNormal(self._mean[places], covariance))

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size()


def static_output(problem: Problem, name: str, trials: Sequence[Finished]) -> Output:
    """A metric that cost models know."""
    place = problem.objectives.index(name)
    values = np.array([trial.values[place] for trial in trials])
    transform = transform_of(values, name)
    changed = np.array([transform(value) for value in values])
    center, spread = float(changed.mean()), float(changed.std()) or 1.0

    def scaled(value: float) -> float:
        return (transform(value) - center) / spread

    def model(asked: Asked) -> Model:
        metrics = [problem.static_metrics(point)[name] for point, _ in asked]
        found = torch.tensor([[scaled(value)] for value in metrics], dtype=torch.float64)
        last = len(found) - 1
        return GenericDeterministicModel(
            lambda X: found[X[..., 0].round().long().clamp(0, last)], num_outputs=1
        )

    return Output(model, None, scaled, "")


def learned_output(
    problem: Problem,
    name: str,
    history: Sequence[Observation],
    trials: Sequence[Finished],
    settings: Settings,
) -> Output:
    """A metric that training or measurement shows. Raises EvaluationError."""
    learned = learn(problem, name, history, trials, settings)
    surrogate = learned.surrogate
    if learned.later is not None:
        surrogate = update_surrogate(surrogate, learned.readings(learned.later))
    stack = surrogate.stack

    def scaled(value: float) -> float:
        return (learned.transform(value) - stack.offset) / stack.scale

    def read(asked: Asked) -> list[Reading]:
        return [learned.reading(point, number) for point, number in asked]

    def moments(new: Asked, others: Asked) -> Moments:
        count = len(new)
        found = surrogate.posterior(read([*new, *others]), others=count)
        return Moments(
            found.mean[:count],
            found.variance[:count],
            found.covariance[:count],
            found.mean[count:],
            found.covariance[count:],
        )

    def model(asked: Asked) -> Model:
        found = surrogate.posterior(read(asked))
        return _Recorded(torch.from_numpy(found.mean), torch.from_numpy(found.covariance))

    notes = "".join(f" ({note})" for note in surrogate.notes)
    return Output(model, moments, scaled, surrogate.description + notes)

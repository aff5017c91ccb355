"""A Gaussian process about a law, on GPyTorch's kernels, priors and constraints (Gardner et al.
2018, arXiv 1809.11165).

    value = mean(x) + slopes(x) . e + g(x) + s(study) + u(trunk, text) + noise

`e` are the mean's letters, standard normal before the data: with the slopes of a law about its fit
this is the law's own posterior, so law and process are fitted jointly. `g` is a Matérn-5/2 process
over the numbers times an exponential one over the choices that differ; `s` is what an earlier study
lies beside this one, a wide normal; `u` is what the readings of one trunk share, fading as the
logarithms of their text part, so that an early reading tells of the end only as far as rungs of
other trunks have shown it to. Length scales have the priors of Hvarfner et al. 2024 (arXiv
2402.02229), which grow with the number of features.

At most a few hundred readings are fitted: dense matrices and one Cholesky factor do, and are some
ten times faster than lazily evaluated ones.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from gpytorch import Module
from gpytorch.constraints import GreaterThan, Interval
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior
from gpytorch.priors.prior import Prior
from scipy.optimize import minimize

from archsmith.errors import EvaluationError
from archsmith.surrogate.kernels import Choices, Constant, Matern, Slopes, Trunk, dense
from archsmith.surrogate.schema import Schema

_ITERATIONS = 40
_LEAST_NOISE = 1e-4  # of the variance of what is fitted
_JITTERS = (0.0, 1e-10, 1e-8, 1e-6)  # of the mean variance
_REFUSED = 1e10  # the loss of hyperparameters whose covariance is not invertible


class Kind(StrEnum):
    """What a surrogate is made of."""

    MEAN = "mean only"  # the law, or where there is none a mean linear in features and choices
    BOTH = "mean + process"
    PROCESS = "process only"


class Process(Module):
    """Covariance and noise, with their hyperparameters."""

    def __init__(self, covariance: Kernel) -> None:
        super().__init__()
        self.covariance = covariance
        self.likelihood = GaussianLikelihood(
            noise_prior=LogNormalPrior(-3.0, 1.5), noise_constraint=GreaterThan(_LEAST_NOISE)
        )
        self.likelihood.noise = 0.1
        self.double()


class Posterior(NamedTuple):
    """Of points, scaled and without noise: mean [n], variance [n] and covariance [n, n]."""

    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray


class Fitted:
    """A process conditioned on readings.

    Attributes:
        model: with the hyperparameters.
        inputs: [n, columns], of `schema.inputs`.
        target: the scaled values, [n].
        factor: of the readings' covariance with noise, lower triangular; [n, n].
        noise: variance of a measurement, scaled.
    """

    def __init__(
        self, schema: Schema, model: Process, inputs: np.ndarray, values: np.ndarray, kind: Kind
    ) -> None:
        """Raises EvaluationError where the covariance is not invertible."""
        self.kind, self.schema, self.model = kind, schema, model
        self.inputs = torch.from_numpy(np.ascontiguousarray(inputs))
        self.target = scaled(schema, values)
        with torch.no_grad():
            covariance = dense(model.covariance, self.inputs, self.inputs)
            self.noise = float(model.likelihood.noise)
            self.factor = _factor(covariance, self.noise)
            residual = torch.from_numpy(self.target) - self.inputs[:, -1]
            self._white_target = torch.linalg.solve_triangular(
                self.factor, residual.unsqueeze(-1), upper=False
            )
        if not bool(torch.isfinite(self._white_target).all()):
            raise EvaluationError("the process does not fit: its predictions are not finite")

    def posterior(self, table: np.ndarray, others: np.ndarray | None = None) -> Posterior:
        """At points given as columns, [m, columns]; covariances with `others` if these are given.

        `covariance` is [m, m] then, or [m, others].
        """
        x = torch.from_numpy(np.ascontiguousarray(table))
        y = x if others is None else torch.from_numpy(np.ascontiguousarray(others))
        with torch.no_grad():
            white = self._white(x)
            other = white if others is None else self._white(y)
            covariance = dense(self.model.covariance, x, y) - white.T @ other
            mean, variance = self._marginal(x, white)
        return Posterior(mean.numpy(), variance.numpy(), covariance.numpy())

    def _white(self, x: torch.Tensor) -> torch.Tensor:
        cross = dense(self.model.covariance, self.inputs, x)
        return torch.linalg.solve_triangular(self.factor, cross, upper=False)

    def predict(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of measurements at points, scaled; [m], [m]."""
        x = torch.from_numpy(np.ascontiguousarray(table))
        with torch.no_grad():
            mean, variance = self._marginal(x, self._white(x))
        return mean.numpy(), variance.numpy() + self.noise

    def _marginal(self, x: torch.Tensor, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance without noise of each point by itself."""
        mean = x[:, -1] + (white.T @ self._white_target).squeeze(-1)
        own = dense(self.model.covariance, x, x, diag=True)
        return mean, (own - white.square().sum(0)).clamp(min=0.0)

    @cached_property
    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each reading given those of other trunks, by block inverses."""
        inverse = torch.cholesky_inverse(self.factor).numpy()
        residual = torch.from_numpy(self.target) - self.inputs[:, -1]
        weights = inverse @ residual.numpy()
        variance = 1 / np.diag(inverse)
        mean, deviation = self.target - variance * weights, np.sqrt(variance)
        trunks = self.inputs[:, -2].numpy()
        found, counts = np.unique(trunks, return_counts=True)
        for trunk in found[counts > 1]:
            block = np.flatnonzero(trunks == trunk)
            own = np.linalg.inv(inverse[np.ix_(block, block)])
            mean[block] = self.target[block] - own @ weights[block]
            deviation[block] = np.sqrt(np.diag(own))
        return mean, deviation

    @cached_property
    def log_densities(self) -> np.ndarray:
        """Of each reading, in its own unit, given those of other trunks; up to a constant, [n]."""
        mean, deviation = self.left_out
        score = (self.target - mean) / deviation
        return np.asarray(-0.5 * score**2 - np.log(deviation * self.schema.scale))


def fit_process(
    schema: Schema,
    inputs: np.ndarray,
    values: np.ndarray,
    kind: Kind,
    *,
    iterations: int = _ITERATIONS,
) -> Fitted:
    """Fit the hyperparameters by their posterior's mode and condition on the values.

    Args:
        inputs: [n, schema.num_columns], of `schema.inputs`.
        values: [n], unscaled.

    Raises:
        EvaluationError: no hyperparameters could be found, or the covariance is not invertible.
    """
    model = Process(_kernel(schema, inputs, kind))
    try:
        if iterations:
            _maximize(model, inputs, scaled(schema, values), iterations)
        fitted = Fitted(schema, model, inputs, values, kind)
        if not np.isfinite(fitted.log_densities).all():
            raise EvaluationError("the process does not fit: readings left out are not predicted")
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:  # not a number
        raise EvaluationError(f"the process does not fit: {error}") from error
    return fitted


def condition(fitted: Fitted, inputs: np.ndarray, values: np.ndarray) -> Fitted:
    """The same hyperparameters on other readings.

    Raises EvaluationError where the covariance is not invertible.
    """
    try:
        return Fitted(fitted.schema, fitted.model, inputs, values, fitted.kind)
    except (RuntimeError, ValueError) as error:
        raise EvaluationError(f"the process does not take the readings: {error}") from error


def scaled(schema: Schema, values: np.ndarray) -> np.ndarray:
    """Values as the process sees them."""
    return (np.asarray(values, dtype=np.float64) - schema.offset) / schema.scale


def _maximize(model: Process, inputs: np.ndarray, target: np.ndarray, iterations: int) -> None:
    """Set the hyperparameters to their posterior's mode, by L-BFGS over the raw ones."""
    x = torch.from_numpy(np.ascontiguousarray(inputs))
    residual = (torch.from_numpy(target) - x[:, -1]).unsqueeze(-1)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    priors = [(prior, module, value) for _, module, prior, value, _ in model.named_priors()]

    identity = torch.eye(len(x), dtype=x.dtype)

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        _set(parameters, flat)
        covariance = dense(model.covariance, x, x) + model.likelihood.noise * identity
        prior = torch.stack([_log_prior(*one) for one in priors]).sum() / len(x)
        with torch.no_grad():
            factor, failed = torch.linalg.cholesky_ex(covariance)
            if int(failed):
                return _REFUSED, np.zeros(len(flat))
            inverse = torch.cholesky_inverse(factor)
            weights = inverse @ residual
            loss = 0.5 * (residual * weights).sum() + factor.diagonal().log().sum()
            value = float(loss) / len(x) - float(prior)
            # the loss's slope by the covariance in closed form, its own by the graph
            slope = 0.5 * (inverse - weights @ weights.T) / len(x)
        slopes = torch.autograd.grad(
            [covariance, prior], parameters, [slope, -torch.ones((), dtype=x.dtype)]
        )
        flat_slope = torch.cat([slope.reshape(-1) for slope in slopes]).numpy()
        if not (math.isfinite(value) and np.isfinite(flat_slope).all()):
            return _REFUSED, np.zeros(len(flat))
        return value, flat_slope

    start = torch.cat([parameter.detach().reshape(-1) for parameter in parameters]).numpy()
    if loss_and_slope(start)[0] == _REFUSED:
        raise EvaluationError("the process does not fit: its covariance is not invertible")
    found = minimize(
        loss_and_slope,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxfun": 2 * iterations},
    )
    _set(parameters, found.x if found.fun < _REFUSED else start)


def _log_prior(
    prior: Prior, module: Module, value: Callable[[Module], torch.Tensor]
) -> torch.Tensor:
    """The prior's log density but for a constant, summed."""
    at = value(module)
    logarithm = at.log()
    if isinstance(prior, GammaPrior):
        return ((prior.concentration - 1) * logarithm - prior.rate * at).sum()
    score = (logarithm - prior.loc) / prior.scale
    return (-logarithm - 0.5 * score.square()).sum()


def _set(parameters: list[torch.nn.Parameter], flat: np.ndarray) -> None:
    with torch.no_grad():
        place = 0
        for parameter in parameters:
            count = parameter.numel()
            values = torch.from_numpy(flat[place : place + count])
            parameter.copy_(values.reshape(parameter.shape))
            place += count


def _factor(covariance: torch.Tensor, noise: float) -> torch.Tensor:
    size = float(covariance.diagonal().mean())
    for jitter in _JITTERS:
        shifted = covariance.clone()
        shifted.diagonal().add_(noise + jitter * size)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if not int(failed):
            return factor
    raise EvaluationError("the covariance of the readings is not invertible")


def _kernel(schema: Schema, inputs: np.ndarray, kind: Kind) -> Kernel:
    features, slopes = schema.num_features, schema.num_slopes
    shifts, numbers = len(schema.sources), schema.num_numbers
    parts: list[Kernel] = []
    if kind is not Kind.PROCESS:
        columns = tuple(range(features, features + slopes))
        if schema.law is None:  # how much choices matter is to be learned
            prior, start = GammaPrior(1.5, 3.0), 0.3
            parts.append(ScaleKernel(Slopes(active_dims=columns), outputscale_prior=prior))
            parts[-1].outputscale = start
        else:
            parts.append(Slopes(active_dims=columns))
    if kind is not Kind.MEAN and features:
        product: Kernel | None = None
        if numbers:
            product = Matern(
                ard_num_dims=numbers,
                active_dims=tuple(range(numbers)),
                lengthscale_prior=LogNormalPrior(
                    math.sqrt(2) + 0.5 * math.log(numbers), math.sqrt(3)
                ),
                lengthscale_constraint=GreaterThan(0.025),
            )
            product.lengthscale = math.exp(0.5) * math.sqrt(numbers)
        if schema.choices:
            levels = features - numbers
            own = Choices(
                ard_num_dims=levels,
                active_dims=tuple(range(numbers, features)),
                lengthscale_prior=LogNormalPrior(0.5 + 0.5 * math.log(len(schema.choices)), 1.0),
                lengthscale_constraint=GreaterThan(0.025),
            )
            own.lengthscale = float(len(schema.choices)) ** 0.5 * 1.5
            product = own if product is None else product * own
        assert product is not None
        parts.append(ScaleKernel(product, outputscale_prior=GammaPrior(2.0, 2.0)))
        parts[-1].outputscale = 0.7
        if kind is Kind.PROCESS:
            parts.append(Constant(active_dims=(features,)))
    if shifts:
        parts.append(
            Slopes(active_dims=tuple(range(features + slopes, features + slopes + shifts)))
        )
    text, trunk = features + slopes + shifts, features + slopes + shifts + 1
    # trunks read more than once, or at different rungs
    if len(np.unique(inputs[:, trunk])) < len(inputs) or np.ptp(inputs[:, text]) > 0:
        shared = Trunk(
            active_dims=(text, trunk),
            lengthscale_prior=LogNormalPrior(0.7, 0.7),
            lengthscale_constraint=Interval(0.1, 50.0),
        )
        shared.lengthscale = 2.0
        parts.append(ScaleKernel(shared, outputscale_prior=GammaPrior(1.5, 3.0)))
        parts[-1].outputscale = 0.3
    if not parts:
        parts.append(Constant(active_dims=(features,)))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total

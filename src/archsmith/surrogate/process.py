"""A Gaussian process about a law, on GPyTorch (Gardner et al. 2018, arXiv 1809.11165) and BoTorch
(Balandat et al. 2020, arXiv 1910.06403).

    value = mean(x) + slopes(x) . e + g(x) + u(trunk, text) + noise

`e` are the mean's letters, standard normal before the data: with the slopes of a law about its fit
this is the law's own posterior, so law and process are fitted jointly. `g` is a Matérn-5/2 process
over the numbers times an exponential one over the choices that differ; `u` is what the readings of
one trunk share, fading as the logarithms of their text part, so that an early reading tells of the
end only as far as rungs of other trunks have shown it to. Length scales have the priors of Hvarfner
et al. 2024 (arXiv 2402.02229), which grow with the number of features.
"""

import math
import warnings
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from botorch import settings as botorch_settings
from botorch.models import SingleTaskGP
from botorch.optim.closures import get_loss_closure_with_grads
from botorch.optim.core import OptimizationStatus, scipy_minimize
from gpytorch.constraints import GreaterThan, Interval
from gpytorch.kernels import Kernel, MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior

from archsmith.errors import EvaluationError
from archsmith.surrogate.kernels import Choices, Constant, MeanColumn, Slopes, Trunk
from archsmith.surrogate.schema import Schema

_ITERATIONS = 40
_LEAST_NOISE = 1e-4  # of the variance of what is fitted


class Kind(StrEnum):
    """What a surrogate is made of."""

    MEAN = "mean only"  # the law, or where there is none a mean linear in features and choices
    BOTH = "mean + process"
    PROCESS = "process only"


class Fitted(NamedTuple):
    """A process conditioned on readings.

    Attributes:
        model: BoTorch's, of the scaled values, over the columns of the schema.
        left_out_mean, left_out_deviation: of each reading, predicted without its trunk; scaled.
        target: the scaled values.
    """

    kind: Kind
    schema: Schema
    model: SingleTaskGP
    target: np.ndarray
    left_out_mean: np.ndarray
    left_out_deviation: np.ndarray

    @property
    def log_density(self) -> float:
        """Sum over readings of the log density, in their own unit, of each without its trunk."""
        deviation = self.left_out_deviation * self.schema.scale
        score = (self.target - self.left_out_mean) / self.left_out_deviation
        return float(np.sum(-0.5 * score**2 - np.log(deviation)))


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
    model = condition(schema, inputs, values, kind, hyperparameters=None)
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    try:
        with warnings.catch_warnings(), botorch_settings.validate_input_scaling(False):
            warnings.simplefilter("ignore")
            closure = get_loss_closure_with_grads(
                likelihood, {n: p for n, p in likelihood.named_parameters() if p.requires_grad}
            )
            model.train()
            result = scipy_minimize(
                closure,
                {n: p for n, p in likelihood.named_parameters() if p.requires_grad},
                options={"maxiter": iterations, "maxfun": 2 * iterations},
            )
            if result.status == OptimizationStatus.FAILURE:
                raise EvaluationError(f"the process does not fit: {result.message}")
            return finish(schema, model, inputs, values, kind)
    except (RuntimeError, ValueError) as error:  # not positive definite, not a number
        raise EvaluationError(f"the process does not fit: {error}") from error


def condition(
    schema: Schema,
    inputs: np.ndarray,
    values: np.ndarray,
    kind: Kind,
    *,
    hyperparameters: dict[str, torch.Tensor] | None,
) -> SingleTaskGP:
    """A model on the readings with given (or initial) hyperparameters."""
    target = torch.from_numpy(scaled(schema, values)).unsqueeze(-1)
    x = torch.from_numpy(np.ascontiguousarray(inputs))
    with warnings.catch_warnings(), botorch_settings.validate_input_scaling(False):
        warnings.simplefilter("ignore")
        model = SingleTaskGP(
            x,
            target,
            likelihood=GaussianLikelihood(
                noise_prior=LogNormalPrior(-3.0, 1.5), noise_constraint=GreaterThan(_LEAST_NOISE)
            ),
            covar_module=_kernel(schema, inputs, kind),
            mean_module=MeanColumn(),
            outcome_transform=None,
        )
    model.likelihood.noise = 0.1
    if hyperparameters is not None:
        model.load_state_dict(hyperparameters, strict=True)
    return model


def finish(
    schema: Schema, model: SingleTaskGP, inputs: np.ndarray, values: np.ndarray, kind: Kind
) -> Fitted:
    """The fitted process with what it says of every reading left out."""
    model.eval()
    target = scaled(schema, values)
    mean, deviation = _leave_out(model, inputs, target)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise ValueError("predictions of readings left out are not finite")
    return Fitted(kind, schema, model, target, mean, deviation)


def scaled(schema: Schema, values: np.ndarray) -> np.ndarray:
    """Values as the process sees them."""
    return (np.asarray(values, dtype=np.float64) - schema.offset) / schema.scale


def _kernel(schema: Schema, inputs: np.ndarray, kind: Kind) -> Kernel:
    features, slopes = schema.num_features, schema.num_slopes
    numbers = len(schema.numbers)
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
            product = MaternKernel(
                nu=2.5,
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
    text, trunk = features + slopes, features + slopes + 1
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


def _leave_out(
    model: SingleTaskGP, inputs: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each reading given those of other trunks, by block inverses."""
    x = torch.from_numpy(np.ascontiguousarray(inputs))
    with torch.no_grad():
        covariance = model.covar_module(x).to_dense().numpy().copy()
        noise = float(model.likelihood.noise)
        mean_column = model.mean_module(x).numpy()
    covariance[np.diag_indices_from(covariance)] += noise
    inverse = np.linalg.inv(covariance)
    weights = inverse @ (target - mean_column)
    mean, deviation = np.empty(len(target)), np.empty(len(target))
    trunks = inputs[:, -2]
    for trunk in np.unique(trunks):
        block = np.flatnonzero(trunks == trunk)
        variance = np.linalg.inv(inverse[np.ix_(block, block)])
        mean[block] = target[block] - variance @ weights[block]
        deviation[block] = np.sqrt(np.diag(variance))
    return mean, deviation

"""What of a pool is expected to gain most, by the surrogates of a history.

One objective without learned limits is gained in closed form; with limits, and with two objectives,
by BoTorch's acquisition functions; with more by the exact volume of draws.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei as hypervolume_logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model import Model, ModelList
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.base import MCSampler
from botorch.sampling.get_sampler import get_sampler
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import IIDNormalSampler

from archsmith.errors import EvaluationError
from archsmith.strategies._drafts import Finished
from archsmith.strategies._fits import Settings, learn, metric
from archsmith.strategies._improvement import log_improvement
from archsmith.strategies._outputs import Asked, Output, learned_output, static_output
from archsmith.strategies._pool import by_merit, spread_front
from archsmith.strategies._volume import log_volume_improvement
from archsmith.trial import Observation, Problem

_SAMPLES = 64  # of the posterior
_BASELINE = 16  # trials that may be the best, in truth
_FRONT = 64  # the same with several objectives
_FRONTS = {3: 128, 4: 64, 5: 32}  # the same with so many: 8,192 volumes take 0.1 to 0.3 s
_LARGE_FRONT = 16  # with more
_PENDING = 16  # pending trials taken into account, the latest
_BEYOND = 0.1  # of the extent of what was seen: how far beyond its worst the reference lies


def rank(
    problem: Problem,
    history: Sequence[Observation],
    trials: Sequence[Finished],
    points: Sequence[Any],
    *,
    pending: Sequence[Any],
    seed: int,
    settings: Settings,
) -> tuple[list[int], str]:
    """Indices of points, the largest expected improvement first, and what was asked.

    Raises EvaluationError where no surrogate of an objective can be fitted.
    """
    static = problem.static_metrics(points[0])
    limits = [limit for limit in problem.limits if limit.metric not in static]
    limits = [limit for limit in limits if metric(history, limit.metric)]
    names = list(dict.fromkeys([*problem.objectives, *(limit.metric for limit in limits)]))
    outputs = [
        static_output(problem, name, trials)
        if name in static
        else learned_output(problem, name, history, trials, settings)
        for name in names
    ]
    best = _baseline(trials)
    new: Asked = [(point, None) for point in points]
    old: Asked = [(trial.point, trial.number) for trial in best]
    waiting: Asked = [(point, None) for point in pending[-_PENDING:]]
    moments = outputs[0].moments
    try:
        if len(names) == 1 and moments is not None:
            gain = log_improvement(moments(new, [*old, *waiting]), np.random.default_rng(seed))
        else:
            constraints = [
                _constraint(names.index(limit.metric), limit.comparison, outputs, limit.value)
                for limit in limits
            ]
            reference = _reference(trials, outputs[: len(problem.objectives)])
            gain = _gain(new, old, waiting, outputs, constraints, reference, seed=seed)
    except (RuntimeError, ValueError) as error:
        raise EvaluationError(f"no improvement can be computed: {error}") from error
    about = ", ".join(
        f"{name} by {output.description}"
        for name, output in zip(names, outputs, strict=True)
        if output.description
    )
    order = np.argsort(-np.nan_to_num(gain, nan=-math.inf), kind="stable")
    return order.tolist(), about or "exact metrics alone"


def skill(
    problem: Problem,
    history: Sequence[Observation],
    trials: Sequence[Finished],
    settings: Settings,
) -> float:
    """How well what is learned was predicted of trials left out: the worst rank correlation.

    As of the last fit: what was finished since then is not asked. Raises EvaluationError where no
    surrogate of an objective can be fitted.
    """
    static = problem.static_metrics(trials[-1].point)
    found = [1.0]
    for name in problem.objectives:
        if name not in static:
            found.append(learn(problem, name, history, trials, settings).surrogate.skill)
    return min(found)


def _gain(
    new: Asked,
    old: Asked,
    waiting: Asked,
    outputs: Sequence[Output],
    constraints: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    reference: Sequence[float],
    *,
    seed: int,
) -> np.ndarray:
    """Logarithm of what each new point is expected to gain, by BoTorch, [new]."""
    model = ModelList(*(output.model([*new, *old, *waiting]) for output in outputs))
    count, known = len(new), len(new) + len(old)
    places = torch.arange(known + len(waiting), dtype=torch.float64).unsqueeze(-1)
    # BoTorch draws seeds of its own: the generator's state is ours meanwhile
    with torch.random.fork_rng(devices=()), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        # with several objectives the cost lies in the samples' fronts
        sampler = _sampler(model, _SAMPLES if len(reference) == 1 else _SAMPLES // 2, seed=seed)
        if len(reference) > 2:
            return _volume_gain(model, places, count, sampler, constraints, reference)
        acquisition = _acquisition(
            model, places[count:known], places[known:], sampler, constraints, reference
        )
        return np.asarray(acquisition(places[:count].unsqueeze(1)).numpy())


def _sampler(model: ModelList, count: int, *, seed: int) -> MCSampler:
    """Of so many draws, of each output by numbers of its own.

    BoTorch's own choice for several models gives all of them one seed, and so the same numbers:
    what is good in one metric would be drawn good in every other. Quasi-random numbers serve one
    output alone: those of two seeds are nets of the same points, and correlated as well.
    """
    shape, one = torch.Size([count]), torch.zeros((1, 1), dtype=torch.float64)
    posteriors = [output.posterior(one) for output in model.models]
    learned = [isinstance(posterior, GPyTorchPosterior) for posterior in posteriors]
    return ListSampler(
        *(
            IIDNormalSampler(shape, seed=seed + place)
            if learned[place] and sum(learned) > 1
            else get_sampler(posterior, sample_shape=shape, seed=seed)
            for place, posterior in enumerate(posteriors)
        )
    )


def _acquisition(
    model: Model,
    old: torch.Tensor,
    waiting: torch.Tensor,
    sampler: MCSampler,
    constraints: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    reference: Sequence[float],
) -> AcquisitionFunction:
    """Of one objective or of two: both noisy, in log form, knowing of pending points."""
    count = len(reference)
    limited = list(constraints) or None
    if count == 1:
        return qLogNoisyExpectedImprovement(
            model,
            old,
            sampler=sampler,
            objective=GenericMCObjective(lambda samples, X=None: -samples[..., 0]),
            constraints=limited,
            X_pending=waiting if len(waiting) else None,
            cache_root=False,
        )
    _leave_uncompiled()
    objective = GenericMCMultiOutputObjective(lambda samples, X=None: -samples[..., :count])
    return qLogNoisyExpectedHypervolumeImprovement(
        model,
        list(reference),
        old,
        sampler=sampler,
        objective=objective,
        constraints=limited,
        X_pending=waiting if len(waiting) else None,
        cache_root=False,
        prune_baseline=False,
    )


def _volume_gain(
    model: Model,
    places: torch.Tensor,
    count: int,
    sampler: MCSampler,
    constraints: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    reference: Sequence[float],
) -> np.ndarray:
    """Of three objectives and more, the first `count` places over the front of all others.

    The front is that of posterior means, the pending points' too: a noisy front is another in every
    draw.
    """
    objectives = len(reference)
    draws = sampler(model.posterior(places[:count].unsqueeze(1)))[..., 0, :]  # [s, n, outputs]
    means = model.posterior(places[count:]).mean
    allowed = torch.ones(len(means), dtype=torch.bool)
    for constraint in constraints:
        allowed &= constraint(means) <= 0
    breach = [constraint(draws) for constraint in constraints]
    return log_volume_improvement(
        draws[..., :objectives].numpy(),
        means[allowed][:, :objectives].numpy(),
        -np.asarray(reference),
        torch.stack(breach, dim=-1).numpy() if breach else np.empty((*draws.shape[:2], 0)),
    )


def _leave_uncompiled() -> None:
    """Keep BoTorch from compiling a C++ kernel in the middle of a search.

    It would do so at the first use of its acquisition functions of several objectives, into a
    folder of the user's home behind a lock file that nobody removes where the process was killed
    meanwhile: every later search waits for it forever. What is proposed would depend on whether a
    compiler is installed, too, and the kernel's `-march=native` on which machine came first.
    BoTorch has no setting for it but tries once a process; this says that it has tried. The kernel
    proposes the same. In the portable space a proposal takes 0.35 s with and without it; with the
    wide front of a recorded table (NAS-Bench-Macro) a search takes 1.45 times as long without it.
    """
    hypervolume_logei._load_attempted = True


def _baseline(trials: Sequence[Finished]) -> list[Finished]:
    """Trials that may be the best, in truth: with several objectives all of the front, at most.

    With three and more the front is soon larger than that, and trials all over it stand for it.
    """
    objectives = len(trials[0].values)
    if objectives > 2:
        most = _FRONTS.get(objectives, _LARGE_FRONT)
        return [trials[index] for index in spread_front(trials, most)]
    return [trials[index] for index in by_merit(trials)[: _FRONT if objectives > 1 else _BASELINE]]


def _constraint(
    place: int, comparison: str, outputs: Sequence[Output], value: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Negative where the limit holds, as BoTorch wants it."""
    bound = outputs[place].scaled(value)
    sign = 1.0 if comparison == "<=" else -1.0
    return lambda samples: sign * (samples[..., place] - bound)


def _reference(trials: Sequence[Finished], outputs: Sequence[Output]) -> list[float]:
    """A little beyond the worst of every objective, negated."""
    found = []
    for place, output in enumerate(outputs):
        values = [output.scaled(trial.values[place]) for trial in trials]
        extent = max(values) - min(values)
        found.append(-(max(values) + _BEYOND * extent + 1e-6))
    return found

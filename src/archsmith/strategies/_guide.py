"""Surrogates of what is learned, conditioned on a history, and BoTorch's acquisition over a pool.

Everything is a function of the history; what was fitted to the beginning of one is kept for as long
as it is asked for again.
"""

import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import (
    qLogExpectedHypervolumeImprovement,
    qLogNoisyExpectedHypervolumeImprovement,
)
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import Model, ModelList
from botorch.posteriors import Posterior
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.base import MCSampler
from botorch.sampling.get_sampler import get_sampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from gpytorch.distributions import MultivariateNormal

from archsmith.errors import EvaluationError
from archsmith.strategies._drafts import Finished
from archsmith.strategies._improvement import Moments, log_improvement
from archsmith.strategies._pool import by_merit, features
from archsmith.surrogate.earlier import earlier_readings
from archsmith.surrogate.readings import Reading, has_law
from archsmith.surrogate.surrogate import Surrogate, fit_surrogate, update_surrogate
from archsmith.trial import Observation, Problem, TrialState

_SAMPLES = 64  # of the posterior, quasi-random
_BASELINE = 16  # trials that may be the best, in truth
_FRONT = 64  # the same with several objectives
_JITTER = 1e-8  # of the scaled variance
_PENDING = 16  # pending trials taken into account, the latest
_LEAST_NEW = 4  # finished trials between two fits
_EARLIER = 96  # readings of earlier studies that are fitted
_BEYOND = 0.1  # of the extent of what was seen: how far beyond its worst the reference lies
_KEPT = 64  # fits
_BITS = "bits_per_byte"


class Settings(Protocol):
    """What the strategy sets."""

    @property
    def max_fitted(self) -> int: ...
    @property
    def refit_share(self) -> float: ...
    @property
    def iterations(self) -> int: ...
    @property
    def earlier(self) -> tuple[str, ...]: ...


class _Known(NamedTuple):
    """A metric of a trial."""

    number: int
    point: Any
    value: float
    rung: int


# points with the numbers of their trials, if they have one
_Asked = Sequence[tuple[Any, int | None]]


class _Output(NamedTuple):
    """A metric as the acquisition sees it: a model of points' places, scaled by `scaled`.

    `moments` of points and others are None where the metric is known exactly.
    """

    model: Callable[[_Asked], Model]
    moments: Callable[[_Asked, _Asked], Moments] | None
    scaled: Callable[[float], float]
    description: str


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
    learned = [name for name in problem.objectives if name not in static]
    seen = {name: _metric(history, name) for name in {*learned, *(x.metric for x in limits)}}
    limits = [limit for limit in limits if seen[limit.metric]]
    names = list(dict.fromkeys([*problem.objectives, *(limit.metric for limit in limits)]))
    outputs = [
        _static_output(problem, name, trials)
        if name in static
        else _learned_output(problem, name, seen[name], trials, settings)
        for name in names
    ]
    best = _baseline(trials)
    new: _Asked = [(point, None) for point in points]
    old: _Asked = [(trial.point, trial.number) for trial in best]
    waiting: _Asked = [(point, None) for point in pending[-_PENDING:]]
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
            known = _metric(history, name)
            first = known[: _fitted_at(len(known), settings.refit_share)]
            _, surrogate, _ = _surrogate(problem, name, known, first, trials, settings)
            found.append(surrogate.skill)
    return min(found)


def _gain(
    new: _Asked,
    old: _Asked,
    waiting: _Asked,
    outputs: Sequence[_Output],
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
        samples = _SAMPLES if len(reference) == 1 else _SAMPLES // 2
        sampler = get_sampler(
            model.posterior(places[:1]), sample_shape=torch.Size([samples]), seed=seed
        )
        acquisition = _acquisition(
            model, places[count:known], places[known:], sampler, constraints, reference
        )
        return np.asarray(acquisition(places[:count].unsqueeze(1)).numpy())


def _acquisition(
    model: Model,
    old: torch.Tensor,
    waiting: torch.Tensor,
    sampler: MCSampler,
    constraints: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    reference: Sequence[float],
) -> AcquisitionFunction:
    """Of one objective, of two, or of more: all noisy, in log form, knowing of pending points.

    With three objectives and more the front is that of posterior means, the pending points' too: to
    divide the space above one front takes 30 ms, and a noisy front is another in every sample.
    """
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
    objective = GenericMCMultiOutputObjective(lambda samples, X=None: -samples[..., :count])
    if count == 2:
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
    means = model.posterior(torch.cat([old, waiting])).mean
    allowed = torch.ones(len(means), dtype=torch.bool)
    for constraint in constraints:
        allowed &= constraint(means) <= 0
    return qLogExpectedHypervolumeImprovement(
        model,
        list(reference),
        FastNondominatedPartitioning(
            ref_point=torch.tensor(reference, dtype=torch.float64), Y=-means[allowed][:, :count]
        ),
        sampler=sampler,
        objective=objective,
        constraints=limited,
    )


class _Recorded(Model):
    """What is known of all points together, asked for by their places: everything once."""

    num_outputs = 1

    def __init__(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        super().__init__()
        self._mean, self._covariance = mean, covariance

    def posterior(self, X: torch.Tensor, **options: Any) -> Posterior:
        places = X[..., 0].long()
        covariance = self._covariance[places.unsqueeze(-1), places.unsqueeze(-2)]
        return GPyTorchPosterior(MultivariateNormal(self._mean[places], covariance))

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size()


def _baseline(trials: Sequence[Finished]) -> list[Finished]:
    """Trials that may be the best, in truth: with several objectives all of the front, at most."""
    several = len(trials[0].values) > 1
    return [trials[index] for index in by_merit(trials)[: _FRONT if several else _BASELINE]]


def _metric(history: Sequence[Observation], name: str) -> list[_Known]:
    """The finite values of a metric, of each point its last, in the order of the trials."""
    found: dict[Any, _Known] = {}
    for observation in history:
        value = observation.metrics.get(name)
        if value is None or observation.state is TrialState.FAILED or not math.isfinite(value):
            continue
        point = observation.architecture
        found.pop(point, None)
        found[point] = _Known(observation.number, point, value, observation.rung)
    return list(found.values())


def _static_output(problem: Problem, name: str, trials: Sequence[Finished]) -> _Output:
    place = problem.objectives.index(name)
    values = np.array([trial.values[place] for trial in trials])
    transform = _transform(values, name)
    changed = np.array([transform(value) for value in values])
    center, spread = float(changed.mean()), float(changed.std()) or 1.0

    def scaled(value: float) -> float:
        return (transform(value) - center) / spread

    def model(asked: _Asked) -> Model:
        metrics = [problem.static_metrics(point)[name] for point, _ in asked]
        found = torch.tensor([[scaled(value)] for value in metrics], dtype=torch.float64)
        return GenericDeterministicModel(lambda X: found[X[..., 0].long()], num_outputs=1)

    return _Output(model, None, scaled, "")


def _learned_output(
    problem: Problem,
    name: str,
    known: Sequence[_Known],
    trials: Sequence[Finished],
    settings: Settings,
) -> _Output:
    first = known[: _fitted_at(len(known), settings.refit_share)]
    transform, surrogate, readings = _surrogate(problem, name, known, first, trials, settings)
    if len(first) < len(known):
        surrogate = update_surrogate(surrogate, readings(known))
    schema, knows_text = surrogate.fitted.schema, _knows_text(problem, known)

    def scaled(value: float) -> float:
        return (transform(value) - schema.offset) / schema.scale

    def columns(asked: _Asked) -> np.ndarray:
        return surrogate.columns(
            [
                _reading(problem, point, number, 0.0, -1, knows_text=knows_text)
                for point, number in asked
            ]
        )

    def moments(new: _Asked, others: _Asked) -> Moments:
        process, count = surrogate.fitted, len(new)
        table = columns([*new, *others])
        found = process.posterior(table, table[count:])
        variance = process.predict(table[:count])[1] - process.noise
        return Moments(
            found.mean[:count],
            variance,
            found.covariance[:count],
            found.mean[count:],
            found.covariance[count:],
        )

    def model(asked: _Asked) -> Model:
        found = surrogate.fitted.posterior(columns(asked))
        covariance = torch.from_numpy(found.covariance)
        covariance.diagonal().add_(_JITTER)
        return _Recorded(torch.from_numpy(found.mean), covariance)

    notes = "".join(f" ({note})" for note in surrogate.notes)
    return _Output(model, moments, scaled, surrogate.description + notes)


_Readings = Callable[[Sequence[_Known]], list[Reading]]


def _surrogate(
    problem: Problem,
    name: str,
    known: Sequence[_Known],
    first: Sequence[_Known],
    trials: Sequence[Finished],
    settings: Settings,
) -> tuple[Callable[[float], float], Surrogate, _Readings]:
    """What is fitted to the first trials, how it sees values, and how trials become readings."""
    # of the fitted ones alone: else every result would ask for another fit
    values = np.array([one.value for one in first])
    transform = _transform(values, name)
    if len(problem.objectives) == 1 and not has_law(tuple(features(problem, known[0].point))):
        transform = _compressed(transform, values)
    knows_text = _knows_text(problem, known)
    earlier = [
        one._replace(value=transform(one.value))
        for one in earlier_readings(
            settings.earlier,
            name,
            tuple(features(problem, known[0].point)),
            knows_text=knows_text,
        )
    ]
    earlier = earlier[:: max(1, math.ceil(len(earlier) / _EARLIER))]

    def readings(some: Sequence[_Known]) -> list[Reading]:
        # the best of these, whatever came later: else every result would ask for another fit
        then = [trial for trial in trials if trial.number <= some[-1].number]
        priority = {then[index].number: place for place, index in enumerate(by_merit(then))}
        chosen = _choose(some, priority, settings.max_fitted)
        own = [
            _reading(problem, o.point, o.number, transform(o.value), o.rung, knows_text=knows_text)
            for o in chosen
        ]
        return [*earlier, *own]

    fitted = np.array([transform(value) for value in values])
    unit = 1.0 if name == _BITS else max(float(np.median(np.abs(fitted))), 1e-9)
    is_loss = name == _BITS or _falls_with_size([features(problem, o.point) for o in first], fitted)
    return transform, _fit(readings(first), unit=unit, law=is_loss, settings=settings), readings


def _knows_text(problem: Problem, known: Sequence[_Known]) -> bool:
    return bool(problem.rungs) and all(one.rung >= 0 for one in known)


def _reading(
    problem: Problem, point: Any, number: int | None, value: float, rung: int, *, knows_text: bool
) -> Reading:
    """A trial, or a point asked for, after a rung's text."""
    text = float(problem.rungs[rung].train_bytes) if knows_text else None
    return Reading(features(problem, point), value, text, trunk=number if knows_text else None)


_fits: OrderedDict[Any, Surrogate] = OrderedDict()


def _fit(readings: Sequence[Reading], *, unit: float, law: bool, settings: Settings) -> Surrogate:
    names = tuple(readings[0].features)
    rows = tuple(
        (r.value, r.train_bytes, r.trunk, *(r.features[name] for name in names)) for r in readings
    )
    key = (names, unit, law, settings.iterations, rows)
    if key not in _fits:
        try:
            _fits[key] = fit_surrogate(
                readings, unit=unit, law=law, iterations=settings.iterations, calibrate=False
            )
        except ValueError as error:
            raise EvaluationError(f"the surrogate does not fit: {error}") from error
        if len(_fits) > _KEPT:
            _fits.popitem(last=False)
    _fits.move_to_end(key)
    return _fits[key]


def _fitted_at(count: int, share: float) -> int:
    """The largest number of trials, up to `count`, after which a surrogate is fitted anew."""
    last, after = 1, 1
    while after <= count:
        last, after = after, max(after + _LEAST_NEW, math.ceil(after * (1 + share)))
    return last


def _choose(known: Sequence[_Known], priority: dict[int, int], max_fitted: int) -> Sequence[_Known]:
    """At most so many trials: half of them the best, a quarter the latest, others evenly."""
    if len(known) <= max_fitted:
        return known
    order = sorted(known, key=lambda one: priority.get(one.number, len(priority)))
    kept = {one.number for one in order[: max_fitted // 2]}
    kept |= {one.number for one in known[-(max_fitted // 4) :]}
    rest = [one for one in known if one.number not in kept]
    room = max_fitted - len(kept)
    kept |= {rest[int(place)].number for place in np.linspace(0, len(rest) - 1, max(room, 0))}
    return [one for one in known if one.number in kept]


def _transform(values: np.ndarray, name: str) -> Callable[[float], float]:
    """Bits are logarithms already; of other positive metrics the logarithm is modelled."""
    if name != _BITS and (values > 0).all():
        least = float(values.min())
        return lambda value: math.log(max(value, 1e-3 * least))
    return lambda value: value


def _compressed(
    transform: Callable[[float], float], values: np.ndarray
) -> Callable[[float], float]:
    """What is worse than the median counts by its logarithm (Eriksson & Poloczek 2021, arXiv
    2002.08526): how bad the bad ones are says little about which of the good ones is the best."""
    changed = np.array([transform(value) for value in values])
    middle = float(np.median(changed))
    spread = float(np.median(np.abs(changed - middle))) or float(changed.std()) or 1.0

    def compressed(value: float) -> float:
        away = (transform(value) - middle) / spread
        return math.log1p(away) if away > 0 else away

    return compressed


def _falls_with_size(tables: Sequence[dict[str, float]], values: np.ndarray) -> bool:
    """Whether larger networks have smaller values: then a law of loss may be its mean."""
    sizes = [table.get("log_num_non_embedding_params", 0.0) for table in tables]
    if len(values) < 3 or np.ptp(sizes) == 0:
        return False
    return float(np.polyfit(sizes, values, 1)[0]) < 0


def _constraint(
    place: int, comparison: str, outputs: Sequence[_Output], value: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Negative where the limit holds, as BoTorch wants it."""
    bound = outputs[place].scaled(value)
    sign = 1.0 if comparison == "<=" else -1.0
    return lambda samples: sign * (samples[..., place] - bound)


def _reference(trials: Sequence[Finished], outputs: Sequence[_Output]) -> list[float]:
    """A little beyond the worst of every objective, negated."""
    found = []
    for place, output in enumerate(outputs):
        values = [output.scaled(trial.values[place]) for trial in trials]
        extent = max(values) - min(values)
        found.append(-(max(values) + _BEYOND * extent + 1e-6))
    return found

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
from botorch.sampling.base import MCSampler
from botorch.sampling.get_sampler import get_sampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)

from archsmith.errors import EvaluationError
from archsmith.strategies._drafts import Finished
from archsmith.strategies._pool import by_merit, features
from archsmith.surrogate.earlier import earlier_readings
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import Surrogate, fit_surrogate, update_surrogate
from archsmith.trial import Observation, Problem, TrialState

_SAMPLES = 64  # of the posterior, quasi-random
_BASELINE = 16  # trials that may be the best, in truth
_PENDING = 16  # pending trials taken into account, the latest
_LEAST_NEW = 4  # finished trials between two fits
_EARLIER = 96  # readings of earlier studies that are fitted
_BEYOND = 0.1  # of the extent of what was seen: how far beyond its worst the reference lies
_CHUNK = 64  # points whose improvement is computed at once
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


class _Output(NamedTuple):
    """A metric as the acquisition sees it: of columns [first, end), scaled like `scaled(value)`."""

    model: Model
    columns: Callable[[Sequence[tuple[Any, int | None]]], torch.Tensor]
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
    best = [trials[index] for index in by_merit(trials)[:_BASELINE]]
    asked = [
        *((point, None) for point in points),
        *((trial.point, trial.number) for trial in best),
        *((point, None) for point in pending[-_PENDING:]),
    ]
    parts = [output.columns(asked) for output in outputs]
    columns = torch.cat(parts, dim=-1)
    ends = np.cumsum([part.shape[-1] for part in parts])
    model = ModelList(
        *(
            _Slice(output.model, int(end) - part.shape[-1], int(end))
            for output, part, end in zip(outputs, parts, ends, strict=True)
        )
    )
    constraints = [
        _constraint(names.index(limit.metric), limit.comparison, outputs, limit.value, names)
        for limit in limits
    ]
    new, old = columns[: len(points)], columns[len(points) : len(points) + len(best)]
    waiting = columns[len(points) + len(best) :]
    try:
        # BoTorch draws seeds of its own where it prunes: the generator's state is ours meanwhile
        with torch.random.fork_rng(devices=()), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            # with several objectives the cost lies in the samples' fronts
            samples = _SAMPLES if len(problem.objectives) == 1 else _SAMPLES // 2
            sampler = get_sampler(
                model.posterior(old[:1]), sample_shape=torch.Size([samples]), seed=seed
            )
            reference = _reference(trials, outputs[: len(problem.objectives)])
            acquisition = _acquisition(model, old, waiting, sampler, constraints, reference)
            chunks = [acquisition(part.unsqueeze(1)) for part in new.split(_CHUNK)]
            gain = torch.cat(chunks).nan_to_num(nan=-math.inf).numpy()
    except (RuntimeError, ValueError) as error:
        raise EvaluationError(f"no improvement can be computed: {error}") from error
    about = ", ".join(
        f"{name} by {output.description}"
        for name, output in zip(names, outputs, strict=True)
        if output.description
    )
    return np.argsort(-gain, kind="stable").tolist(), about or "exact metrics alone"


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
            prune_baseline=True,
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


class _Slice(Model):
    """A model that reads some of the columns."""

    num_outputs = 1

    def __init__(self, model: Model, first: int, end: int) -> None:
        super().__init__()
        self.model, self.first, self.end = model, first, end

    def posterior(self, X: torch.Tensor, **options: Any) -> Posterior:
        return self.model.posterior(X[..., self.first : self.end])

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size()


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

    def columns(asked: Sequence[tuple[Any, int | None]]) -> torch.Tensor:
        metrics = [problem.static_metrics(point)[name] for point, _ in asked]
        return torch.tensor([[scaled(value)] for value in metrics], dtype=torch.float64)

    return _Output(GenericDeterministicModel(lambda X: X, num_outputs=1), columns, scaled, "")


def _learned_output(
    problem: Problem,
    name: str,
    known: Sequence[_Known],
    trials: Sequence[Finished],
    settings: Settings,
) -> _Output:
    values = np.array([one.value for one in known])
    transform = _transform(values, name)
    knows_text = bool(problem.rungs) and all(one.rung >= 0 for one in known)

    def reading(point: Any, number: int | None, value: float, rung: int) -> Reading:
        text = float(problem.rungs[rung].train_bytes) if knows_text else None
        trunk = number if knows_text else None
        return Reading(features(problem, point), value, text, trunk=trunk)

    def readings(some: Sequence[_Known]) -> list[Reading]:
        # the best of these, whatever came later: else every result would ask for another fit
        then = [trial for trial in trials if trial.number <= some[-1].number]
        priority = {then[index].number: place for place, index in enumerate(by_merit(then))}
        chosen = _choose(some, priority, settings.max_fitted)
        return [reading(o.point, o.number, transform(o.value), o.rung) for o in chosen]

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
    first = known[: _fitted_at(len(known), settings.refit_share)]
    fitted = np.array([transform(one.value) for one in first])
    unit = 1.0 if name == _BITS else max(float(np.median(np.abs(fitted))), 1e-9)
    is_loss = name == _BITS or _falls_with_size([features(problem, o.point) for o in first], fitted)
    surrogate = _fit([*earlier, *readings(first)], unit=unit, law=is_loss, settings=settings)
    if len(first) < len(known):
        surrogate = update_surrogate(surrogate, [*earlier, *readings(known)])
    schema = surrogate.fitted.schema

    def scaled(value: float) -> float:
        return (transform(value) - schema.offset) / schema.scale

    def columns(asked: Sequence[tuple[Any, int | None]]) -> torch.Tensor:
        return surrogate.columns([reading(point, number, 0.0, -1) for point, number in asked])

    notes = "".join(f" ({note})" for note in surrogate.notes)
    return _Output(surrogate.fitted.model, columns, scaled, surrogate.description + notes)


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


def _falls_with_size(tables: Sequence[dict[str, float]], values: np.ndarray) -> bool:
    """Whether larger networks have smaller values: then a law of loss may be its mean."""
    sizes = [table.get("log_num_non_embedding_params", 0.0) for table in tables]
    if len(values) < 3 or np.ptp(sizes) == 0:
        return False
    return float(np.polyfit(sizes, values, 1)[0]) < 0


def _constraint(
    place: int, comparison: str, outputs: Sequence[_Output], value: float, names: Sequence[str]
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

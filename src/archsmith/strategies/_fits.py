"""What is fitted to a history: the surrogate of one metric, and how trials become its readings.

A surrogate is fitted to the beginning of a history and conditioned on the rest, so that not every
result asks for another fit; what was fitted is kept for as long as it is asked for again.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from archsmith.errors import EvaluationError
from archsmith.prior import REFERENCE_BITS_PER_BYTE
from archsmith.strategies._drafts import Finished
from archsmith.strategies._pool import by_merit, features
from archsmith.surrogate.earlier import earlier_readings
from archsmith.surrogate.outliers import below_ceiling
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading, has_law
from archsmith.surrogate.surrogate import Surrogate, fit_surrogate
from archsmith.trial import Observation, Problem, TrialState

_LEAST_NEW = 4  # finished trials between two fits
_EARLIER = 96  # readings of earlier studies that are fitted
_KEPT = 64  # fits
_BITS = "bits_per_byte"
_TASK = "task:"


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
    @property
    def surrogate(self) -> Literal["weighed", "process"]: ...


class Known(NamedTuple):
    """A metric of a trial; and (train_bytes, value) of its trunk at other amounts of text."""

    number: int
    point: Any
    value: float
    rung: int
    along: tuple[tuple[float, float], ...] = ()


class Learned(NamedTuple):
    """What is known of a metric that is learned.

    Attributes:
        surrogate: fitted to the first trials.
        transform: how it sees values.
        readings: what trials are to it.
        reading: a point (with its trial's number, if it has one) at the end of its training.
        later: all trials, where not all were fitted.
    """

    surrogate: Surrogate
    transform: Callable[[float], float]
    readings: Callable[[Sequence["Known"]], list[Reading]]
    reading: Callable[[Any, int | None], Reading]
    later: Sequence["Known"] | None


def metric(history: Sequence[Observation], name: str) -> list[Known]:
    """The finite values of a metric, of each point its last, in the order of the trials."""
    found: dict[Any, Known] = {}
    for observation in history:
        value = observation.metrics.get(name)
        if value is None or observation.state is TrialState.FAILED or not math.isfinite(value):
            continue
        point = observation.architecture
        found.pop(point, None)
        found[point] = Known(observation.number, point, value, observation.rung)
    return list(found.values())


def learn(
    problem: Problem,
    name: str,
    history: Sequence[Observation],
    trials: Sequence[Finished],
    settings: Settings,
) -> Learned:
    """The metric's surrogate. Raises EvaluationError where none can be fitted."""
    known = metric(history, name)
    knows_text = _knows_text(problem, name, known)
    if knows_text and name == _BITS:
        known, first = _with_curves(history, known), _first_results(problem, history, settings)
    else:
        first = known[: _fitted_at(len(known), settings.refit_share)]
    # of the fitted ones alone: else every result would ask for another fit
    values = np.array([one.value for one in first])
    names = tuple(features(problem, known[0].point))
    plain = transform = transform_of(values, name)
    is_compressed = len(problem.objectives) == 1 and not has_law(names)
    if is_compressed:
        transform = _compressed(plain, values)
    earlier = _earlier(
        problem,
        name,
        names,
        settings,
        transform=lambda values: _compressed(plain, values) if is_compressed else plain,
        knows_text=knows_text,
    )
    earlier = earlier[:: max(1, math.ceil(len(earlier) / _EARLIER))]
    room = max(settings.max_fitted - len(earlier), 1)
    # of trunks that were read at several amounts of text a quarter is kept for the others
    own_room = room - room // 4 if any(one.along for one in known) else room

    def readings(some: Sequence[Known]) -> list[Reading]:
        # the best of these, whatever came later: else every result would ask for another fit
        if any(one.along for one in some):  # who was promoted since is not known either
            order = sorted(some, key=lambda one: (-one.rung, one.value))
            priority = {one.number: place for place, one in enumerate(order)}
        else:
            then = [trial for trial in trials if trial.number <= some[-1].number]
            priority = {then[index].number: place for place, index in enumerate(by_merit(then))}
        chosen = _choose(some, priority, own_room)
        own = [
            _reading(
                problem, name, o.point, o.number, transform(o.value), o.rung, knows_text=knows_text
            )
            for o in chosen
        ]
        # what trunks were read at elsewhere, the latest trials' first
        along = [
            reading._replace(value=transform(value), train_bytes=train_bytes)
            for reading, one in zip(reversed(own), reversed(chosen), strict=True)
            for train_bytes, value in one.along
            if train_bytes != reading.train_bytes
        ]
        return [*earlier, *own, *along[: room - len(own)]]

    fitted = np.array([transform(value) for value in values])
    unit = 1.0 if name == _BITS else max(float(np.median(np.abs(fitted))), 1e-9)
    is_loss = name == _BITS or _falls_with_size([features(problem, o.point) for o in first], fitted)
    surrogate = _fit(readings(first), unit=unit, law=is_loss, settings=settings)
    if settings.earlier:
        told = f"{len(earlier) or 'no'} readings of earlier studies"
        surrogate = surrogate._replace(notes=(*surrogate.notes, told))
    return Learned(
        surrogate=surrogate,
        transform=transform,
        readings=readings,
        reading=lambda point, number: _reading(
            problem, name, point, number, 0.0, -1, knows_text=knows_text
        ),
        later=known if first != known else None,
    )


def _with_curves(history: Sequence[Observation], known: Sequence[Known]) -> list[Known]:
    """The same with what each trunk was read at, at its rungs and since."""
    curves = {observation.number: observation.curve for observation in history}
    return [
        one._replace(
            along=tuple(
                (train_bytes, value)
                for train_bytes, value in curves[one.number]
                if train_bytes > 0 and math.isfinite(value)
            )
        )
        for one in known
    ]


def _first_results(
    problem: Problem, history: Sequence[Observation], settings: Settings
) -> list[Known]:
    """What was known when the last fit was due: of the rungs' scores, the first by time.

    A promotion changes what is known of an old trial. Counted as a result of its own it changes
    nothing of what was known before, so that the fit stays what it was until enough has come.
    Where times are not known, rungs count as finished in the order of trials.
    """
    places = {float(rung.train_bytes): rung.index for rung in problem.rungs}
    results = []
    for observation in history:
        if observation.state is TrialState.FAILED:
            continue
        scores = [(places[b], value) for b, value in observation.curve if b in places]
        if not scores and _BITS in observation.metrics:
            scores = [(observation.rung, observation.metrics[_BITS])]
        times = observation.finished
        if len(times) != len(scores):
            times = (0.0,) * len(scores)
        results += [
            (time, observation.number, rung, value, observation.architecture)
            for time, (rung, value) in zip(times, scores, strict=True)
            if math.isfinite(value)
        ]
    results.sort(key=lambda result: result[:3])
    first = results[: _fitted_at(len(results), settings.refit_share)]
    found: dict[int, Known] = {}
    for _, number, rung, value, point in first:
        before = found.pop(number, None)
        along = () if before is None else before.along
        text = float(problem.rungs[rung].train_bytes)
        found[number] = Known(number, point, value, rung, (*along, (text, value)))
    return list(found.values())


def _knows_text(problem: Problem, name: str, known: Sequence[Known]) -> bool:
    """Whether the text read counts: it trains what a network knows, and makes no device faster."""
    of_training = name == _BITS or name.startswith(_TASK)
    return of_training and bool(problem.rungs) and all(one.rung >= 0 for one in known)


def _earlier(
    problem: Problem,
    name: str,
    names: Sequence[str],
    settings: Settings,
    *,
    transform: Callable[[np.ndarray], Callable[[float], float]],
    knows_text: bool,
) -> list[Reading]:
    """What earlier studies measured of a metric, each file's values as `transform` sees them."""
    found = []
    for path in settings.earlier:
        of_file = earlier_readings(
            problem.root / path,
            name,
            names,
            knows_text=knows_text,
            own_bits_per_byte=_difficulty(problem, name),
        )
        if of_file:
            change = transform(np.array([reading.value for reading in of_file]))
            found += [one._replace(value=change(one.value), source=path) for one in of_file]
    return found


def _reading(
    problem: Problem,
    name: str,
    point: Any,
    number: int | None,
    value: float,
    rung: int,
    *,
    knows_text: bool,
) -> Reading:
    """A metric of a trial after a rung's text, or (rung -1) of a point at the end of training."""
    text = float(problem.rungs[rung].train_bytes) if knows_text else None
    if knows_text and rung < 0 and problem.final_bytes is not None:
        text = float(problem.final_bytes(point))
    different = problem.corpus_train_bytes
    return Reading(
        features(problem, point),
        value,
        text,
        unique_bytes=float(different) if knows_text and different is not None else None,
        trunk=number if knows_text else None,
        corpus_bits_per_byte=_difficulty(problem, name) or REFERENCE_BITS_PER_BYTE,
    )


def _difficulty(problem: Problem, name: str) -> float | None:
    """How hard the text is, for a metric that depends on it; None where it is not known."""
    return problem.corpus_bits_per_byte if name == _BITS else None


_fits: OrderedDict[Any, Surrogate] = OrderedDict()


def _fit(readings: Sequence[Reading], *, unit: float, law: bool, settings: Settings) -> Surrogate:
    names = tuple(readings[0].features)
    rows = tuple(
        (
            (r.value, r.train_bytes, r.unique_bytes, r.trunk, r.corpus_bits_per_byte, r.source),
            tuple(r.features[name] for name in names),
        )
        for r in readings
    )
    plain = settings.surrogate == "process"
    key = (names, unit, law, plain, settings.iterations, rows)
    if key not in _fits:
        try:
            _fits[key] = fit_surrogate(
                readings,
                unit=unit,
                kinds=(Kind.PROCESS,) if plain else tuple(Kind),
                law=law,
                iterations=settings.iterations,
                calibrate=False,
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


def _choose(known: Sequence[Known], priority: dict[int, int], max_fitted: int) -> Sequence[Known]:
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


def transform_of(values: np.ndarray, name: str) -> Callable[[float], float]:
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
    return float(np.polyfit(sizes, below_ceiling(values), 1)[0]) < 0

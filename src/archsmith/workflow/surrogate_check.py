"""How well a study's surrogate predicts: sizes and corpora left out, and the winner's end.

Computed from the stored study, of bits per byte alone: the scores at rungs are what is fitted, and
what the winner's final training read is what its forecast is held against.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsmith.config import Spec
from archsmith.errors import ArchsmithError, ConfigError, EvaluationError
from archsmith.prior import REFERENCE_BITS_PER_BYTE
from archsmith.store.records import TrialRecord
from archsmith.store.store import Store
from archsmith.surrogate.earlier import earlier_readings
from archsmith.surrogate.extrapolation import (
    Extrapolation,
    leave_one_corpus_out,
    leave_one_size_out,
)
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import FAR, Surrogate, fit_surrogate
from archsmith.trial import Problem
from archsmith.units import format_bytes
from archsmith.workflow.earlier_study import stored_problem

_BITS = "bits_per_byte"
_MOST = 96  # readings that are fitted: more would tell the same and take minutes


class LeftOut(Spec):
    """Groups predicted from the others; `reason` says why there is nothing to tell.

    Attributes:
        mean_error: bits per byte, over all readings left out.
        difference_error: the same once each group's mean error is taken off.
        coverage: share of them inside their intervals of 90 %.
        error_by_group: mean absolute error.
    """

    num_readings: int = 0
    mean_error: float | None = None
    difference_error: float | None = None
    coverage: float | None = None
    error_by_group: Mapping[str, float] = {}
    reason: str = ""


class WinnerForecast(Spec):
    """What the rungs foretold of the winner at the end of its training, and what was read there.

    Attributes:
        train_bytes: where it was read last before its cooldown, or where it was not, after it.
        low, high: the calibrated interval of 90 % of that reading.
        measured: held-out bits per byte read there.
        cooled: the same after the cooldown, which rungs do not foresee.
        file_bits_per_byte: of the written file, on the text of the final comparison.
    """

    trial: int
    train_bytes: float
    bits_per_byte: float
    low: float
    high: float
    measured: float
    cooled: float
    file_bits_per_byte: float | None

    @property
    def is_inside(self) -> bool:
        """Whether the interval held."""
        return self.low <= self.measured <= self.high


class SurrogateCheck(Spec):
    """How well the surrogate of a study predicts.

    Attributes:
        num_readings, num_trials, num_earlier: what it was fitted to: scores at rungs, of how many
            trials, and readings of earlier studies.
        scale: what deviations were multiplied by to match the errors of readings left out.
        widens_beyond: bytes of text from which on intervals widen.
        winner: None for the reason given.
    """

    study: str
    description: str
    num_readings: int
    num_trials: int
    num_earlier: int
    scale: float
    widens_beyond: float | None
    sizes: LeftOut
    corpora: LeftOut
    winner: WinnerForecast | None
    winner_reason: str = ""

    def lines(self) -> list[str]:
        """For people."""
        earlier = f" and {self.num_earlier} of earlier studies" if self.num_earlier else ""
        told = [
            f"study {self.study}: how well the surrogate predicts bits per byte",
            f"fitted to {self.num_readings} scores of {self.num_trials} trials{earlier}: "
            f"{self.description}",
        ]
        if self.widens_beyond is not None:
            told.append(f"intervals widen beyond {format_bytes(self.widens_beyond)} of text")
        told += _left_out_lines("sizes", self.sizes)
        told += _left_out_lines("corpora", self.corpora)
        if self.winner is None:
            return [*told, f"the winner's end: {self.winner_reason}"]
        one = self.winner
        told.append(
            f"the winner, trial {one.trial}: foreseen {one.bits_per_byte:.4f} [{one.low:.4f}, "
            f"{one.high:.4f}] after {format_bytes(one.train_bytes)} of text, measured "
            f"{one.measured:.4f}, {'inside' if one.is_inside else 'outside'} the interval of 90 %"
        )
        file = one.file_bits_per_byte
        ends = "" if file is None else f"; the written file, on its own text, {file:.4f}"
        return [*told, f"  after the cooldown, which rungs do not foresee: {one.cooled:.4f}{ends}"]


def check_surrogate(store: Store, name: str, *, root: Path = Path()) -> SurrogateCheck:
    """Fit a study's surrogate to its rungs' scores, with and without parts of them.

    Args:
        root: the folder that the search file's paths start from.

    Raises:
        StoreError: there is no such study.
        ConfigError: no trial has a score, or trials are no architectures.
        EvaluationError: no surrogate fits.
    """
    problem, trials = stored_problem(store, name), store.trials(name)
    arms = store.notes(name).get("arms") or ()
    arm: Mapping[str, Any] = next((arm for arm in arms if arm.get("kind") == "search"), {})
    own = _readings(problem, trials, arm.get("trial"))
    if not own:
        raise ConfigError(f"study '{name}' has no trial with {_BITS} yet")
    earlier, reason = _earlier(problem, store.study(name).spec, own, root)
    surrogate = fit_surrogate([*earlier, *own])
    winner, winner_reason = _winner(problem, trials, own, surrogate, arm)
    longest = surrogate.longest_bytes
    return SurrogateCheck(
        study=name,
        description=surrogate.description,
        num_readings=len(own),
        num_trials=len({reading.trunk for reading in own}),
        num_earlier=len(earlier),
        scale=surrogate.scale,
        widens_beyond=None if longest is None else FAR * longest,
        sizes=_left_out(leave_one_size_out, own),
        corpora=_left_out(leave_one_corpus_out, [*earlier, *own])
        if earlier
        else LeftOut(reason=reason),
        winner=winner,
        winner_reason=winner_reason,
    )


def _readings(problem: Problem, trials: Sequence[TrialRecord], winner: int | None) -> list[Reading]:
    """The scores of trials at their rungs; of many, those of trials evenly chosen."""
    found: list[list[Reading]] = []
    for trial in trials:
        scores = {rung: trial.metrics_at(rung).get(_BITS) for rung in range(trial.rung + 1)}
        table = dict(problem.space.features(trial.architecture)) if scores else {}
        of_trial = [
            _reading(problem, table, value, trial.number, problem.rungs[rung].train_bytes)
            if problem.rungs
            else _reading(problem, table, value, trial.number, None)
            for rung, value in scores.items()
            if value is not None
        ]
        if of_trial:
            found.append(of_trial)
    step = max(1, -(-sum(map(len, found)) // _MOST))
    kept = [
        of_trial
        for place, of_trial in enumerate(found)
        if place % step == 0 or of_trial[0].trunk == winner
    ]
    return [reading for of_trial in kept for reading in of_trial]


def _reading(
    problem: Problem,
    table: Mapping[str, float],
    value: float,
    trial: int,
    train_bytes: float | None,
) -> Reading:
    different = problem.corpus_train_bytes
    return Reading(
        table,
        value,
        train_bytes,
        unique_bytes=None if train_bytes is None or different is None else float(different),
        trunk=trial,
        corpus="this study",
        corpus_bits_per_byte=problem.corpus_bits_per_byte or REFERENCE_BITS_PER_BYTE,
    )


def _earlier(
    problem: Problem, spec: Mapping[str, Any], own: Sequence[Reading], root: Path
) -> tuple[list[Reading], str]:
    """Readings of the files that the strategy began with; why there are none."""
    paths = spec["strategy"].get("earlier") or ()
    if not paths:
        return [], "the search began with no earlier study"
    found: list[Reading] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for path in paths:
                found += earlier_readings(
                    root / path,
                    _BITS,
                    tuple(own[0].features),
                    knows_text=own[0].train_bytes is not None,
                    own_bits_per_byte=problem.corpus_bits_per_byte,
                )
    except ConfigError as error:
        return [], str(error)
    reason = "; ".join(str(one.message) for one in said)
    return found[:: max(1, -(-len(found) // _MOST))], reason


def _left_out(
    leave_out: Callable[[Sequence[Reading]], Extrapolation], readings: Sequence[Reading]
) -> LeftOut:
    try:
        found = leave_out(readings)
    except (ConfigError, EvaluationError) as error:
        return LeftOut(reason=str(error))
    if not found.num_readings:
        return LeftOut(reason="; ".join(found.notes))
    return LeftOut(
        num_readings=found.num_readings,
        mean_error=found.mean_error,
        difference_error=found.difference_error,
        coverage=found.coverage,
        error_by_group=found.error_by_group,
        reason="; ".join(found.notes),
    )


def _winner(
    problem: Problem,
    trials: Sequence[TrialRecord],
    own: Sequence[Reading],
    surrogate: Surrogate,
    arm: Mapping[str, Any],
) -> tuple[WinnerForecast | None, str]:
    """Its forecast for where its final training was read last before the cooldown."""
    curve: Sequence[Any] = arm.get("curve") or ()
    number = arm.get("trial")
    if number is None:
        return None, "nothing has been trained to the end yet"
    scored = next((reading for reading in own if reading.trunk == number), None)
    if not curve or scored is None or scored.train_bytes is None:
        return None, "it has no score at a rung, or none of its final training"
    train_bytes, _, measured = curve[max(len(curve) - 2, 0)]
    try:
        forecast = surrogate.predict([scored._replace(train_bytes=float(train_bytes))])
    except ArchsmithError as error:
        return None, str(error)
    return WinnerForecast(
        trial=number,
        train_bytes=train_bytes,
        bits_per_byte=float(forecast.mean[0]),
        low=float(forecast.low[0]),
        high=float(forecast.high[0]),
        measured=measured,
        cooled=curve[-1][2],
        file_bits_per_byte=(arm.get("metrics") or {}).get(_BITS),
    ), ""


def _left_out_lines(what: str, found: LeftOut) -> list[str]:
    if found.mean_error is None:
        return [f"{what} left out: {found.reason}"]
    groups = len(found.error_by_group)
    told = [
        f"{what} left out: mean error {found.mean_error:.4f} over {found.num_readings} scores in "
        f"{groups} groups, {found.difference_error:.4f} without each group's shift; intervals of "
        f"90 % held {100 * (found.coverage or 0.0):.0f} %"
    ]
    return [*told, *(f"  {name}: {error:.4f}" for name, error in found.error_by_group.items())]

"""How well a study's surrogate predicts: sizes and corpora left out, and the winner's end.

Computed from the stored study, of bits per byte alone: the scores at rungs are what is fitted, and
what the winner's final training read is what its forecast is held against.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from archsmith.workflow.earlier_study import stored_problem
from archsmith.workflow.surrogate_findings import LeftOut, SurrogateCheck, WinnerForecast

_BITS = "bits_per_byte"
_MOST = 96  # readings that are fitted: more would tell the same and take minutes


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

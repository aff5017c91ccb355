"""What a replay found, as values: arms, figures at checkpoints, paired differences, JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from archsmith.replay.curves import Interval, band, interval_words, mean_interval
from archsmith.units import format_seconds

_POINTS = 200  # of a curve in the JSON


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One strategy over all repeats.

    Attributes:
        name: as it was given on the command line.
        settings: all of the strategy's settings.
        curves: the measure after each evaluation; [R, T], repeats in the order of their seeds.
        seconds: CPU seconds of proposals and look-ups, all repeats together.
        is_random: whether another strategy did what random search does with the same seeds, in
            every repeat.
        lacks: what the strategy is meant for and a table has not, in words; empty mostly.
        proposals: how often the strategy noted what of its proposals, in all repeats, the most
            frequent first; numbers are left out of notes.
    """

    name: str
    settings: Mapping[str, Any]
    curves: np.ndarray
    seconds: float
    is_random: bool = False
    lacks: str = ""
    proposals: Mapping[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What has to be known to read its figures; empty mostly."""
        if not self.is_random:
            return self.lacks
        why = f"for {self.lacks}" if self.lacks else "the same models in the same order"
        return f"exactly random search here, {why}"

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean over repeats. [T]"""
        return self.curves.mean(axis=0)

    @cached_property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95 % interval of the mean, NaN of one repeat. [T], [T]"""
        return band(self.curves)

    def at(self, evaluation: int) -> Interval:
        """The measure after so many evaluations, counted from 1."""
        return mean_interval(self.curves[:, evaluation - 1])

    def minus(self, other: "Arm", evaluation: int) -> Interval:
        """The paired difference to another arm after so many evaluations."""
        column = evaluation - 1
        return mean_interval(self.curves[:, column] - other.curves[:, column])


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A finished replay.

    Attributes:
        table: the file's name.
        num_rows: models in it; `num_failed` of them have no number for an objective, and
            `num_allowed` may be found: trained without failing, and within the limits.
        objectives: names; `directions` beside them.
        measure: `regret` (smaller is better) or `hypervolume_share` (larger is better).
        front_size: models on the true front.
        reference: the hypervolume's reference point, see `Truth`.
        arms: the first one is what the others are compared with.
        checkpoints: evaluations at which figures are told.
        seed: of the first repeat; repeat r has seed + r in every arm.
    """

    table: str
    num_rows: int
    num_failed: int
    num_allowed: int
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    limits: tuple[str, ...]
    measure: str
    front_size: int
    reference: float
    arms: tuple[Arm, ...]
    checkpoints: tuple[int, ...]
    n_trials: int
    repeats: int
    seed: int

    @property
    def baseline(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def sentence(self) -> str:
        """What was done, in one sentence."""
        limits = f" within {', '.join(self.limits)}" if self.limits else ""
        return (
            f"{self.num_allowed:,} models{limits} of {self.num_rows:,} in {self.table}; "
            f"{self.repeats:,} repeats of {self.n_trials:,} evaluations per strategy, paired by "
            f"seed from {self.seed}; {interval_words(self.repeats)}"
        )

    @property
    def notes(self) -> list[str]:
        """What has to be known of single arms."""
        return [f"{arm.name}: {arm.note}" for arm in self.arms if arm.note]

    @property
    def measure_words(self) -> str:
        """What the figures are."""
        if self.measure == "regret":
            return (
                f"regret in {self.objectives[0]}: what the chosen model loses to the best of the "
                "table; smaller is better"
            )
        names = ", ".join(self.objectives)
        beyond = "" if self.reference == 1.0 else ", measured to a tenth beyond the worst values"
        return (
            f"share of the true front's hypervolume in ({names}), {self.front_size:,} models"
            f"{beyond}; larger is better"
        )


def replay_json(replay: Replay) -> dict[str, Any]:
    """The replay as plain JSON values."""
    steps = np.unique(np.linspace(1, replay.n_trials, _POINTS).astype(int)).tolist()
    index = np.array(steps) - 1
    arms = [
        {
            "strategy": arm.name,
            "settings": dict(arm.settings),
            "is_random_search": arm.is_random,
            "note": arm.note or None,
            "proposals": dict(arm.proposals),
            "seconds_per_repeat": arm.seconds / replay.repeats,
            "at": {str(step): _ends(arm.at(step)) for step in replay.checkpoints},
            "minus_first": {
                str(step): _ends(arm.minus(replay.baseline, step)) for step in replay.checkpoints
            }
            if arm is not replay.baseline
            else None,
            "curve": {
                "evaluations": steps,
                "mean": arm.mean[index].tolist(),
                "low": [_or_none(value) for value in arm.band[0][index].tolist()],
                "high": [_or_none(value) for value in arm.band[1][index].tolist()],
            },
        }
        for arm in replay.arms
    ]
    return {
        "table": replay.table,
        "rows": replay.num_rows,
        "failed_rows": replay.num_failed,
        "allowed_rows": replay.num_allowed,
        "objectives": dict(zip(replay.objectives, replay.directions, strict=True)),
        "limits": list(replay.limits),
        "measure": replay.measure,
        "front_size": replay.front_size,
        "reference_point": replay.reference,
        "n_trials": replay.n_trials,
        "repeats": replay.repeats,
        "seed": replay.seed,
        "arms": arms,
    }


def _ends(found: Interval) -> dict[str, float | None]:
    return {name: _or_none(value) for name, value in found._asdict().items()}


def _or_none(value: float) -> float | None:
    """JSON has no word for NaN."""
    return value if math.isfinite(value) else None


def table_rows(replay: Replay) -> tuple[list[str], list[list[str]]]:
    """Header and rows for people: every arm at every checkpoint, and against the first arm."""
    last = replay.checkpoints[-1]
    header = ["strategy", *[f"after {step:,}" for step in replay.checkpoints]]
    if len(replay.arms) > 1:
        header.append(f"minus {replay.baseline.name}, after {last:,}")
    header.append("time per repeat")
    rows = []
    for arm in replay.arms:
        name = f"{arm.name} (= random)" if arm.is_random else arm.name
        cells = [name, *[show_interval(arm.at(step)) for step in replay.checkpoints]]
        if len(replay.arms) > 1:
            found = None if arm is replay.baseline else arm.minus(replay.baseline, last)
            cells.append("" if found is None else show_interval(found, signed=True))
        rows.append([*cells, _time(arm.seconds / replay.repeats)])
    return header, rows


def show_interval(found: Interval, *, signed: bool = False) -> str:
    """A mean and its ends, where it has some."""
    sign = "+" if signed else ""
    mean, low, high = (f"{value:{sign}.3g}" for value in found)
    return f"{mean} [{low}, {high}]" if found.has_ends else mean


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if seconds < 1 else format_seconds(seconds)


def default_checkpoints(n_trials: int) -> Sequence[int]:
    """A quarter, a half and all of the evaluations."""
    return sorted({max(1, n_trials // 4), max(1, n_trials // 2), n_trials})

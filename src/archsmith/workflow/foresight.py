"""What a candidate will score at the end of the final training, from what its trunk has shown.

Two rungs or more of any trunk tell a slope, which all share (`archsmith.horizon`). Where nobody has
more than one reading, the shipped prior's law says how much a network of that size and speed still
gains from there on (`archsmith.prior`): equal text alone would favour slow networks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from archsmith import prior
from archsmith.architecture.tree import Architecture
from archsmith.horizon import HorizonPrediction, Reading, predict, shared_slope
from archsmith.store.records import JobKind, JobState, TrialRecord

# (architecture, bytes of text read so far, bytes it will have read) -> bits per byte it gains
Gain = Callable[[Architecture, float, float], float]


class Horizon(NamedTuple):
    """The final training that finalists are chosen for: so many seconds, or bytes of text.

    With a timeout each candidate's trunk goes on for equal time, and fast ones read more; without
    one the plan says how much text is read in all, and speed does not count.
    """

    amount: float
    in_bytes: bool

    def end(self, last: Reading) -> float:
        """Where a trunk will stand, in the unit of `Reading.seconds`: its seconds come on top of
        those it was trained for, the plan's text includes what it has read."""
        return self.amount if self.in_bytes else last.seconds + self.amount


def readings(trial: TrialRecord, horizon: Horizon) -> list[Reading]:
    """The held-out readings of a trial's trunk, one for each rung it finished; `seconds` of a
    reading are bytes where the horizon is in bytes."""
    found, seconds = [], 0.0
    for job in sorted(trial.jobs, key=lambda job: job.rung):
        if job.kind is not JobKind.RUNG or job.state is not JobState.DONE:
            continue
        seconds = job.metrics.get("train_seconds", seconds)
        if "bits_per_byte" in job.metrics:
            spent = float(job.train_bytes) if horizon.in_bytes else seconds
            found.append(Reading(spent, job.train_bytes, job.metrics["bits_per_byte"]))
    return found


def law_gain(*, corpus_bits_per_byte: float, corpus_train_bytes: int) -> Gain:
    """What the prior's law says of a corpus; the arguments are those of `prior.predict`."""

    def gain(architecture: Architecture, now: float, then: float) -> float:
        before, after = (
            prior.predict(
                architecture,
                train_bytes=train_bytes,
                corpus_bits_per_byte=corpus_bits_per_byte,
                corpus_train_bytes=corpus_train_bytes,
            ).mean
            for train_bytes in (now, max(now, then))
        )
        return before - after

    return gain


@dataclass(frozen=True)
class Foresight:
    """What is foreseen of the trials of a study.

    Attributes:
        slope: shared by all trunks; None where no trunk has two readings.
        gain: asked where there is no slope.
    """

    horizon: Horizon
    slope: float | None
    gain: Gain

    @classmethod
    def of_trials(cls, trials: Sequence[TrialRecord], horizon: Horizon, gain: Gain) -> "Foresight":
        """With the slope that the trials show."""
        return cls(horizon, shared_slope([readings(trial, horizon) for trial in trials]), gain)

    def of(self, trial: TrialRecord) -> HorizonPrediction:
        """Of one trial with a reading; its own slope and the shared one lie in the half-width.

        By the law the whole gain is open. Raises ValueError where the trial has no reading.
        """
        curve = readings(trial, self.horizon)
        if not curve:
            raise ValueError(f"trial {trial.number} has no reading to foresee from")
        last = max(curve)
        end = self.horizon.end(last)
        if self.slope is not None or end <= last.seconds:
            return predict(curve, seconds=end, shared_slope=self.slope)
        then = last.train_bytes * end / last.seconds if last.seconds else last.train_bytes
        gain = min(self.gain(trial.architecture, last.train_bytes, then), last.bits_per_byte)
        return HorizonPrediction(end, last.bits_per_byte - gain, gain)

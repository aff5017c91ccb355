"""What the store hands out: frozen values for studies, trials, jobs and what was spent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from archsmith.trial import Observation, TrialState


class JobKind(StrEnum):
    """`measure` runs the random-weight model on the device, `rung` trains one step of the ladder,
    `extend` continues a trunk beyond it, `repeat` trains a trunk of its own with another seed or
    other rates."""

    MEASURE = "measure"
    RUNG = "rung"
    EXTEND = "extend"
    REPEAT = "repeat"


class JobState(StrEnum):
    """`lost`: its worker died or its lease ran out; it is claimed again like a waiting one."""

    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


# The one option that is ours: the job lets an eliminated trial run on. Evaluators do not see it.
AUDIT = "audit"
# Jobs beside the ladder: how they end says nothing about their trial's state.
BESIDE = (JobKind.EXTEND, JobKind.REPEAT)
# What a worker may take, and what a search's own workers take: repeats come after the search.
TRAINING_KINDS = (JobKind.RUNG, JobKind.EXTEND, JobKind.REPEAT)
SEARCH_KINDS = (JobKind.RUNG, JobKind.EXTEND)
_BITS = "bits_per_byte"
_SINCE = 3  # readings since the last score that an observation holds, beside the latest
OPEN_STATES = (JobState.WAITING, JobState.LEASED, JobState.LOST)


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as stored. `spec` is the expanded settings as JSON values."""

    id: int
    name: str
    spec: Mapping[str, Any]
    seed: int
    created: float


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to put into the queue.

    Attributes:
        rung: index of the rung, -1 for none. `fraction` and `train_bytes` (0: no target) are its.
        label: tells apart jobs of one trial, kind, rung and seed.
        checkpoint_in: where to continue from, empty to start.
    """

    number: int
    kind: JobKind = JobKind.RUNG
    rung: int = -1
    fraction: float = 0.0
    train_bytes: int = 0
    seed: int = 0
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_in: str = ""


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job with its result. Seconds are summed over attempts; times are seconds since 1970.

    `curve` holds (train_bytes, seconds, metric, value); it is filled by `Store.trials` only.
    """

    id: int
    study: str
    number: int
    kind: JobKind
    rung: int
    fraction: float
    train_bytes: int
    seed: int
    label: str
    state: JobState
    owner: str = ""
    lease_until: float = 0.0
    attempt: int = 0
    losses: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_in: str = ""
    checkpoint_out: str = ""
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    threads: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float, str, float], ...] = ()

    @property
    def is_open(self) -> bool:
        """Queued or under way."""
        return self.state in OPEN_STATES

    @property
    def is_inherited(self) -> bool:
        """Whether it scored inherited weights: it left no trunk, and what follows is from scratch.
        If it trained what all inherit, the FLOPs it tells are of that."""
        return bool(self.details.get("inherited"))


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial and everything known about it.

    `eliminated_rung` is the rung after which it was not promoted, None while that is open.
    """

    number: int
    hash: str
    architecture: Any
    state: TrialState
    strategy: str
    parents: tuple[int, ...] = ()
    reason: str = ""
    note: str = ""
    static_metrics: Mapping[str, float] = field(default_factory=dict)
    eliminated_rung: int | None = None
    created: float = 0.0
    jobs: tuple[JobRecord, ...] = ()

    @property
    def rung(self) -> int:
        """The highest rung finished; -1 before the first."""
        return max((job.rung for job in self._done(JobKind.RUNG)), default=-1)

    @property
    def started_rung(self) -> int:
        """The highest rung that has a job in any state; -1 before the first."""
        return max((job.rung for job in self.jobs if job.kind is JobKind.RUNG), default=-1)

    @property
    def last_rung(self) -> JobRecord | None:
        """The job of the highest rung finished; None before the first."""
        return max(self._done(JobKind.RUNG), key=lambda job: job.rung, default=None)

    @property
    def measured_metrics(self) -> Mapping[str, float]:
        """What was measured before training."""
        return _merged(self._done(JobKind.MEASURE))

    @property
    def metrics(self) -> Mapping[str, float]:
        """Static and measured metrics, and those of the highest rung finished."""
        return self.metrics_at(self.rung)

    def metrics_at(self, rung: int) -> Mapping[str, float]:
        """The same at a given rung; without training metrics if it has not finished that rung."""
        jobs = [job for job in self._done(JobKind.RUNG) if job.rung == rung]
        return {**self.static_metrics, **self.measured_metrics, **_merged(jobs)}

    @property
    def train_seconds(self) -> float:
        """Wall seconds of training, all rungs and attempts."""
        return sum(job.wall_seconds for job in self.jobs if job.kind is JobKind.RUNG)

    @property
    def audited_from(self) -> int | None:
        """The rung after which it lost but was let run on as an audit; None for most."""
        rungs = [job.rung for job in self.jobs if job.options.get(AUDIT)]
        return min(rungs) - 1 if rungs else None

    @property
    def curve(self) -> tuple[tuple[int, float, str, float], ...]:
        """Readings of the trunk, all rungs and extensions, by bytes of text."""
        own = (JobKind.RUNG, JobKind.EXTEND)
        rows = (row for job in self.jobs if job.kind in own for row in job.curve)
        return tuple(sorted(rows, key=lambda row: (row[0], row[2])))

    @property
    def observation(self) -> Observation:
        """What a strategy may know of it."""
        return Observation.model_construct(
            number=self.number,
            architecture=self.architecture,
            state=self.state,
            metrics=self.metrics,
            rung=self.rung,
            strategy=self.strategy,
            parents=self.parents,
            reason=self.reason,
            curve=self.trunk_curve,
            finished=tuple(
                job.finished or 0.0
                for job in sorted(self._scored_rungs, key=lambda job: job.train_bytes)
            ),
        )

    @property
    def trunk_curve(self) -> tuple[tuple[float, float], ...]:
        """(train_bytes, bits_per_byte) at every rung done, and a few of what was read since.

        What is read in training lies beside the score by an amount that the last rung shows: it is
        shifted by that, and left out before the first score.
        """
        scored = {float(job.train_bytes): job.metrics[_BITS] for job in self._scored_rungs}
        if not scored:
            return ()
        last = max(scored)
        read = [(row[0], row[3]) for row in self.curve if row[2] == f"train_{_BITS}"]
        before = [value for train_bytes, value in read if train_bytes <= last]
        since = [(b, v) for b, v in read if b > last] if before else []
        # the latest, and those at a half, a quarter ... of the way to it
        kept = {since[len(since) * (2**part - 1) // 2**part] for part in range(_SINCE) if since}
        kept |= set(since[-1:])
        shifted = [(float(b), v + scored[last] - before[-1]) for b, v in sorted(kept)]
        return (*sorted(scored.items()), *shifted)

    @property
    def _scored_rungs(self) -> list[JobRecord]:
        """The rungs done that have a score and an amount of text."""
        done = self._done(JobKind.RUNG)
        return [job for job in done if _BITS in job.metrics and job.train_bytes > 0]

    def _done(self, kind: JobKind) -> list[JobRecord]:
        return [job for job in self.jobs if job.kind is kind and job.state is JobState.DONE]


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """The latest live reading of a job under way; zeros and nothing before the first one."""

    number: int
    kind: JobKind
    rung: int
    owner: str
    started: float
    progress_at: float | None = None
    step: int = 0
    train_bytes: int = 0
    fraction_done: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    job_id: int = 0


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """Something that was spent, on a trial (`number`) or on the study as a whole."""

    phase: str
    seconds: float
    cpu_seconds: float = 0.0
    flops: float = 0.0
    number: int | None = None
    created: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """A checkpoint on disk. `path` is relative to the study's checkpoint folder if inside it."""

    id: int
    job_id: int
    number: int
    kind: JobKind
    rung: int
    path: str
    num_bytes: int


def _merged(jobs: list[JobRecord]) -> dict[str, float]:
    return {name: value for job in jobs for name, value in job.metrics.items()}

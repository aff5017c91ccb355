"""The border of the report: one study as plain frozen values, whatever database it came from.

Everything else in this package depends on this file alone, so it imports nothing but the standard
library: architectures stand here as the JSON of their tree, metrics as numbers by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STATES = ("complete", "pending", "failed", "rejected")


class CurvePoint(NamedTuple):
    """One reading while a model was trained: bytes of text, seconds, held-out bits per byte."""

    train_bytes: int
    seconds: float
    bits_per_byte: float


class AnytimePoint(NamedTuple):
    """The best held-out bits per byte when so much had been spent."""

    cpu_seconds: float
    flops: float
    bits_per_byte: float


@dataclass(frozen=True)
class AnytimeCurve:
    """What an arm had reached when; costs rise, bits per byte fall."""

    arm: str
    points: tuple[AnytimePoint, ...]


class Opening(NamedTuple):
    """One opening of a sealed test split: seconds since 1970, what for, and whose split."""

    time: float
    what: str
    study: str = ""


class LimitRow(NamedTuple):
    """A hard limit: `metric comparison value`, in the metric's own unit."""

    metric: str
    comparison: str
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value meets the limit."""
        return value <= self.value if self.comparison == "<=" else value >= self.value


@dataclass(frozen=True)
class RungRow:
    """A fidelity: the share of the plan and its bytes of text."""

    index: int
    fraction: float
    train_bytes: int


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One candidate and everything known about it.

    Attributes:
        number: counted from 0 in the order of proposal.
        state: one of `STATES`; `rejected` broke a limit and was never trained.
        strategy: who proposed it.
        reason: why it failed or was rejected, in words; empty otherwise.
        broken_limits: metrics whose limit it breaks.
        parents: trials it was made from.
        summary: one line that says what it is.
        architecture: JSON of the tree, or None for a point that is no architecture.
        metrics: the latest value by metric name.
        rung: highest rung finished; -1 before the first.
        rung_metrics: metrics by rung.
        curve: readings along the way, by bytes.
        train_seconds: seconds spent on it, all rungs together.
        tokens_per_second: of its last training; None where it was not noted.
        expert_imbalance: the busiest expert's load over the mean, in its worst layer, at the end of
            its last training: 1 is even. None without experts.
    """

    number: int
    state: str
    strategy: str = ""
    reason: str = ""
    broken_limits: tuple[str, ...] = ()
    parents: tuple[int, ...] = ()
    summary: str = ""
    architecture: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    rung: int = -1
    rung_metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    train_seconds: float = 0.0
    tokens_per_second: float | None = None
    expert_imbalance: float | None = None


class RunRow(NamedTuple):
    """One training of a finalist: its seed, what the learning rates were times, its score on the
    selection split (None where it failed, for the reason given)."""

    seed: int
    rate_factor: float
    bits_per_byte: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class FinalistRow:
    """A candidate at the end of the search.

    Attributes:
        bits_per_byte: on the selection split; with several seeds their mean, less what the rates
            of the final training gain.
        predicted_bits_per_byte: at the end of the final training, give or take `half_width`.
        cooled: whether it was cooled down before it was scored.
        rate_factor: what the learning rates of its final training are times.
        runs: its trainings, the search's own first.
        task_errors: error rates on the user's tasks.
    """

    trial: int
    summary: str = ""
    rung: int = 0
    bits_per_byte: float
    predicted_bits_per_byte: float
    half_width: float = 0.0
    cooled: bool = True
    rate_factor: float = 1.0
    runs: tuple[RunRow, ...] = ()
    task_errors: Mapping[str, float] = field(default_factory=dict)

    @property
    def seed_scores(self) -> tuple[float, ...]:
        """What its trainings at the recipe's rates scored."""
        scores = (run.bits_per_byte for run in self.runs if run.rate_factor == 1.0)
        return tuple(score for score in scores if score is not None)


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """One evaluation under way. Unknown numbers are None."""

    trial: int
    summary: str = ""
    rung: int | None = None
    fraction_done: float | None = None
    train_bytes: int | None = None
    bits_per_byte: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """One row of the final comparison; one row per training seed.

    Attributes:
        name: what it is called; rows of one name are training seeds of one arm.
        kind: `search`, `baseline` (a trained model) or `floor` (a compressor or n-gram model).
        seed: of weights and data order; None where it was not told.
        block_nats: nats per block of held-out text; the same blocks in every arm.
        block_bytes: bytes of those blocks.
        samples: (prompt, completion) pairs written by the deployed file.
        details: anything else, as JSON values.
    """

    name: str
    kind: str
    seed: int | None = None
    trial: int | None = None
    summary: str = ""
    architecture: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    block_nats: tuple[float, ...] = ()
    block_bytes: tuple[int, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    samples: tuple[tuple[str, str], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A metric, or a number among the details; None where it is unknown."""
        value = self.metrics.get(name, self.details.get(name))
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if usable else None  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What one phase cost, failed work included, and what the plan had set aside for it."""

    phase: str
    seconds: float = 0.0
    flops: float = 0.0
    jobs: int = 0
    failed_jobs: int = 0
    failed_seconds: float = 0.0
    planned_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A study at one moment.

    Attributes:
        phase: what is happening, as in "search", "final training", "done".
        primary_baseline: name of the arm the winner is compared with, fixed beforehand.
        margin: bits per byte within which two arms count as equal, fixed beforehand.
        elapsed_seconds, budget_seconds: wall clock since the start, and what was granted.
        audited: trials that lost at a rung and ran on as a check.
        false_eliminations: those of them that proved to belong to the kept.
        command: what reproduces the study.
        anytime: best so far against what was spent, by arm.
        finalists: the winner first; empty before the selection.
        repeats: what of them was planned to be trained again (`planned`, `room_seconds`), why
            nothing was (`reason`), and one training's standard deviation (`seed_noise`).
        supernet: where scores are inherited: the training of the shared weights as `planned` and
            as `trained`, and the `finalists` trained from scratch; else empty.
        openings: of the sealed test split, in order of time.
        fixed: when the primary comparison and the margin were noted, seconds since 1970.
        trained: when the first training began.
        corpus, environment, calibration, suggestion: JSON as the study noted it down.
        settings: the expanded settings the study was made with, as JSON.
    """

    name: str
    phase: str = "search"
    objectives: tuple[str, ...] = ("bits_per_byte",)
    limits: tuple[LimitRow, ...] = ()
    rungs: tuple[RungRow, ...] = ()
    trials: tuple[TrialRow, ...] = ()
    running: tuple[RunningJob, ...] = ()
    arms: tuple[ArmRow, ...] = ()
    primary_baseline: str | None = None
    margin: float = 0.005
    seed: int | None = None
    created: str = ""
    elapsed_seconds: float | None = None
    budget_seconds: float | None = None
    ledger: tuple[Spending, ...] = ()
    corpus: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    suggestion: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    audited: tuple[int, ...] = ()
    false_eliminations: tuple[int, ...] = ()
    command: str = ""
    anytime: tuple[AnytimeCurve, ...] = ()
    finalists: tuple[FinalistRow, ...] = ()
    repeats: Mapping[str, Any] = field(default_factory=dict)
    supernet: Mapping[str, Any] = field(default_factory=dict)
    openings: tuple[Opening, ...] = ()
    fixed: float | None = None
    trained: float | None = None

    def spent(self, arm: str) -> AnytimePoint | None:
        """What an arm had spent in the end, its final training included; None where unknown."""
        if not any(row.curve for row in self.arms if row.name == arm):
            return None
        return next((curve.points[-1] for curve in self.anytime if curve.arm == arm), None)

    def missed_limits(self, metrics: Mapping[str, float]) -> tuple[LimitRow, ...]:
        """The limits that some metrics break; unknown ones break none."""
        return tuple(
            limit
            for limit in self.limits
            if limit.metric in metrics and not limit.holds(metrics[limit.metric])
        )

"""What is known about a search: limits, objectives, rungs, observations, and the problem they make.

Values only; nothing here runs or stores anything. A strategy sees a `Problem` and a history of
`Observation`s; a space may hold anything frozen and hashable, so a recorded table is a space too.
"""

import copy
import math
import operator
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from archsmith.config import Spec
from archsmith.errors import ConfigError, did_you_mean
from archsmith.units import (
    format_bytes,
    format_count,
    parse_bytes,
    parse_count,
    parse_seconds,
)

if TYPE_CHECKING:  # what reads a store answers at once: numpy takes a sixth of a second
    import numpy as np

# metric -> what it is. Names carry their unit. Every metric is minimized when it is an objective.
METRICS: dict[str, str] = {
    "bits_per_byte": "held-out bits per byte of text",
    "file_bytes": "bytes of the written GGUF file",
    "peak_memory_bytes": "resident bytes while generating at the full context",
    "train_memory_bytes": "resident bytes of a worker that trains and scores the network",
    "decode_ms_per_token": "milliseconds per generated token, one sequence",
    "num_params": "parameters",
    "num_active_params": "parameters used for one token",
    "num_non_embedding_params": "parameters outside embedding table and head",
    "flops_per_token": "forward FLOPs per token",
    "cache_bytes": "bytes of the key-value cache at the full context",
    "context_length": "tokens of context",
    "train_seconds": "seconds of training",
}
_TASK = re.compile(r"task:.+\.jsonl")
_COMPARISON = re.compile(r"\s*(\S+?)\s*(<=|>=)\s*(.+?)\s*")


def known_metric(name: str) -> str:
    """`name` if it is a metric (or `task:FILE.jsonl`). Raises ConfigError."""
    if name in METRICS or _TASK.fullmatch(name):
        return name
    raise ConfigError(f"unknown metric '{name}'; {did_you_mean(name, METRICS)}")


def parse_value(metric: str, text: str) -> float:
    """A number in the metric's own unit: bytes, milliseconds, seconds or a count."""
    if metric.endswith("_bytes"):
        return float(parse_bytes(text))
    if metric.endswith("_ms_per_token"):
        return parse_seconds(text) * 1e3 if re.search(r"[a-z]", text) else float(text)
    if metric.endswith("_seconds"):
        return parse_seconds(text)
    if metric == "bits_per_byte" or _TASK.fullmatch(metric):
        return float(text)
    return float(parse_count(text))


def format_value(metric: str, value: float) -> str:
    """A metric's value for people."""
    if metric.endswith("_bytes"):
        return format_bytes(value)
    if metric == "decode_ms_per_token":
        return f"{value:.3g} ms"
    if metric in ("bits_per_byte", "train_seconds") or _TASK.fullmatch(metric):
        return f"{value:.4f}" if metric == "bits_per_byte" else f"{value:.4g}"
    return format_count(value)


class Limit(Spec):
    """A hard constraint, as in `file_bytes <= 16MiB` or `context_length >= 4096`."""

    metric: str
    comparison: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `METRIC <= VALUE` or `METRIC >= VALUE`; units as people write them.

        Raises ConfigError.
        """
        found = _COMPARISON.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"cannot read the limit {text!r}; write METRIC <= VALUE, "
                "as in 'file_bytes <= 16MiB'"
            )
        metric = known_metric(found[1])
        return cls.of(metric, found[2], found[3])

    @classmethod
    def of(cls, metric: str, comparison: str, text: str) -> Self:
        """The limit of a metric of any name at the value that `text` says. Raises ConfigError."""
        try:
            value = parse_value(metric, text)
        except ConfigError:
            raise
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"cannot read the limit of {metric}: {text!r} is no finite number")
        return cls(metric=metric, comparison=comparison, value=value)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if isinstance(data, str):
            return cls.parse(data).model_dump()
        return data

    def holds(self, value: float) -> bool:
        """Whether `value` meets the limit."""
        compare = operator.le if self.comparison == "<=" else operator.ge
        return bool(compare(value, self.value))

    def excess(self, value: float) -> float:
        """How far outside, as a share of the limit: 0 inside, 0.25 at a quarter too much.

        Infinitely far where the value is not a number.
        """
        if self.holds(value):
            return 0.0
        if math.isnan(value):
            return math.inf
        return abs(value - self.value) / max(abs(self.value), 1e-12)

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {format_value(self.metric, self.value)}"


class Rung(Spec):
    """A fidelity: a trunk trained on the first `train_bytes` bytes of text, or finished."""

    index: NonNegativeInt
    fraction: float
    train_bytes: PositiveInt


class TrialState(StrEnum):
    """`rejected` broke a limit and was never trained; `pending` is queued or under way."""

    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"
    REJECTED = "rejected"


class Observation(Spec):
    """Everything a strategy may know of one trial: the latest metrics, at the highest rung done.

    `values[i]` belongs to the i-th objective and is None until it is known. `rung` is -1 before
    the first rung is finished. `curve` holds a few (train_bytes, bits_per_byte) of the trunk, by
    bytes: its score at every rung done, and what has been read of it since. `finished` holds the
    times at which those rungs were finished, in the order of the rungs, where they are known.
    """

    number: NonNegativeInt
    architecture: Any
    state: TrialState
    metrics: Mapping[str, float] = {}
    rung: int = -1
    strategy: str = ""
    parents: tuple[int, ...] = ()
    reason: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    finished: tuple[float, ...] = ()

    def values(self, objectives: Sequence[str]) -> tuple[float, ...] | None:
        """The objectives' values, or None while one is unknown."""
        if any(name not in self.metrics for name in objectives):
            return None
        return tuple(self.metrics[name] for name in objectives)


class ArmResult(Spec):
    """One row of the final comparison: a model (or a floor such as `xz`) as it would be deployed.

    Attributes:
        name: what it is called in the table, as in "search winner" or "fitted Llama shape".
        kind: `search`, `baseline` (a trained model) or `floor` (a compressor or n-gram model).
        metrics: by name, in the metrics' units; `bits_per_byte` is that of the deployed file.
        block_nats: nats per block of held-out text, for paired intervals; same blocks in every arm.
        block_bytes: bytes per block.
        curve: (train_bytes, seconds, bits_per_byte) while it was trained.
        samples: (prompt, completion) pairs written by the deployed file.
        details: anything else worth showing (paths, KL of quantization, protocol, throughput).
    """

    name: str
    kind: str
    architecture: Any = None
    trial: int | None = None
    metrics: Mapping[str, float] = {}
    block_nats: tuple[float, ...] = ()
    block_bytes: tuple[int, ...] = ()
    curve: tuple[tuple[int, float, float], ...] = ()
    samples: tuple[tuple[str, str], ...] = ()
    details: Mapping[str, Any] = {}


class Proposal(Spec):
    """What a strategy asks to be tried next."""

    architecture: Any
    strategy: str
    parents: tuple[int, ...] = ()
    note: str = ""


class Space(Protocol):
    """A set of frozen, hashable points. Every returned point is contained in the space."""

    def sample(self, rng: random.Random) -> Any:
        """A point at random."""

    def mutate(self, point: Any, rng: random.Random) -> Any:
        """A different point, near `point`."""

    def crossover(self, first: Any, second: Any, rng: random.Random) -> Any:
        """A point with traits of both."""

    def neighbours(self, point: Any) -> Iterable[Any]:
        """All points one step away."""

    def contains(self, point: Any) -> bool:
        """Whether `point` belongs to the space."""

    def encode(self, point: Any) -> "np.ndarray":
        """A vector of fixed length, float64, equal only for equal points."""

    def features(self, point: Any) -> Mapping[str, float]:
        """Named numbers a surrogate can use."""

    def log10_size(self) -> float:
        """Decimal logarithm of the number of points."""


class Problem:
    """What is searched for: a space, hard limits, objectives, rungs, and the exact cost models.

    `static_metrics(point)` gives every metric that is known without running anything, in
    microseconds; `feasible(point)` decides the limits those metrics cover.

    Of the text, where they are known: `corpus_train_bytes`, how many different bytes there are to
    train on, and `corpus_bits_per_byte` of an n-gram model, as `archsmith.prior.predict` reads
    them. Relative paths in a strategy's settings start from `root`. `final_bytes(point)` is the
    text a point would be trained on in the end, where that is more than its rungs are: with a
    timeout fast networks read more.
    """

    def __init__(
        self,
        *,
        space: Space,
        objectives: Sequence[str],
        limits: Sequence[Limit] = (),
        rungs: Sequence[Rung] = (),
        static_metrics: Callable[[Any], Mapping[str, float]],
        seed: int = 0,
        start: Sequence[Any] = (),
        corpus_train_bytes: int | None = None,
        corpus_bits_per_byte: float | None = None,
        root: Path = Path(),
        final_bytes: Callable[[Any], float] | None = None,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.limits = tuple(limits)
        self.rungs = tuple(rungs)
        self.static_metrics = static_metrics
        self.seed = seed
        self.start = tuple(start)
        self.corpus_train_bytes = corpus_train_bytes
        self.corpus_bits_per_byte = corpus_bits_per_byte
        self.root = root
        self.final_bytes = final_bytes

    def within(self, *limits: Limit) -> "Problem":
        """The same problem under further limits."""
        narrower = copy.copy(self)
        narrower.limits = (*self.limits, *limits)
        return narrower

    def broken_limits(self, point: Any) -> list[tuple[Limit, float]]:
        """The limits that `point` breaks by exact cost models, with the values."""
        metrics = self.static_metrics(point)
        return [
            (limit, metrics[limit.metric])
            for limit in self.limits
            if limit.metric in metrics and not limit.holds(metrics[limit.metric])
        ]

    def feasible(self, point: Any) -> bool:
        """Whether every limit that a cost model covers holds."""
        return not self.broken_limits(point)

    def excess(self, point: Any) -> float:
        """Sum over limits of the share by which they are broken; 0 when feasible."""
        return sum(limit.excess(value) for limit, value in self.broken_limits(point))

    def rng(self, trial_number: int) -> random.Random:
        """The generator a strategy gets for a trial: the same number, the same proposal."""
        return random.Random(f"{self.seed}:{trial_number}")

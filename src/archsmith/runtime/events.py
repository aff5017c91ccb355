"""What happens in a search, as values for whoever watches: the terminal, a notebook, a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A strategy asked for a new trial and it meets every limit that is known without running."""

    number: int
    architecture: Any
    strategy: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A trial breaks a limit, before any training; `reason` names the limit and the value."""

    number: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker took a job. `kind` is `measure`, `rung`, `extend` or `repeat`."""

    number: int
    kind: str
    rung: int
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """A live reading of a job under way."""

    number: int
    kind: str
    rung: int
    train_bytes: int
    fraction_done: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A job is done."""

    number: int
    kind: str
    rung: int
    metrics: Mapping[str, float]
    wall_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A job failed for good; the search goes on."""

    number: int
    kind: str
    rung: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A job lost its worker; it is taken up again from its last checkpoint."""

    number: int
    kind: str
    rung: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """A trial goes on to `rung`; `audit`: although it lost, to see how often that is wrong;
    `from_scratch`: without a checkpoint, as evaluators that leave none do."""

    number: int
    rung: int
    audit: bool = False
    from_scratch: bool = False


@dataclass(frozen=True, kw_only=True)
class Eliminated:
    """A trial is not promoted beyond `rung` as things stand."""

    number: int
    rung: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something else worth a line: checkpoints collected, workers stopping."""

    text: str


Event = (
    Proposed
    | Rejected
    | Started
    | Progressed
    | Finished
    | Failed
    | Lost
    | Promoted
    | Eliminated
    | Notice
)

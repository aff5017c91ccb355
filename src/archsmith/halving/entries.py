"""What halving is given, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What halving knows of one trial.

    Attributes:
        scores: rung to the objectives' values there, for rungs it has finished. All minimized.
        started_rung: the highest rung that has a job.
        alive: False once it failed or broke a limit: counted, never promoted.
        feasible: False where a known metric breaks a limit: it ranks behind all that meet them.
        resumable: False where its checkpoint was deleted for room: it is counted, and its place
            passes to the next.
        seconds: rung to seconds of training at its end, where they are known.
        audited_from: the rung it lost at when it was begun as an audit; None for most.
    """

    number: int
    scores: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    started_rung: int = -1
    alive: bool = True
    feasible: bool = True
    resumable: bool = True
    seconds: Mapping[int, float] = field(default_factory=dict)
    audited_from: int | None = None

    def waits_at(self, rung: int) -> bool:
        """Whether it may be sent on from a rung, or eliminated there."""
        return self.alive and self.started_rung <= rung

    def has_no_way_on(self, rung: int) -> bool:
        """Whether it cannot go on from a rung, and has not."""
        return not self.resumable and self.started_rung <= rung

    def is_marked(self, rung: int) -> bool:
        """Whether it was begun as an audit at this rung or below."""
        return self.audited_from is not None and self.audited_from <= rung


class Promotion(NamedTuple):
    """Trial `number` goes on to `rung`; `audit` although it lost."""

    number: int
    rung: int
    audit: bool = False


class Elimination(NamedTuple):
    """Trial `number` is not promoted beyond `rung` as things stand."""

    number: int
    rung: int


class Decision(NamedTuple):
    """Promotions, highest rung and best trial first, and eliminations."""

    promotions: tuple[Promotion, ...]
    eliminations: tuple[Elimination, ...]

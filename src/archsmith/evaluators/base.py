"""What every evaluator is, and what goes in and comes out of an evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsmith.config import Spec
from archsmith.trial import Rung


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One live reading of an evaluation under way."""

    step: int
    train_bytes: int
    fraction_done: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One job for an evaluator.

    Attributes:
        architecture: the point to evaluate (an Architecture, or a table's row).
        rung: how far; None where the evaluator has a single fidelity.
        seed: of weights and data order.
        checkpoint_in: checkpoint to continue from, or None to start.
        checkpoint_dir: folder this job may write checkpoints into.
        num_threads: threads the job may use; fixed and stored.
        options: further settings by name (learning rate of a calibration job, …).
        on_progress: called now and then with a live reading.
        should_stop: polled between steps; True asks to checkpoint and return what there is.
    """

    architecture: Any
    rung: Rung | None
    seed: int
    checkpoint_dir: Path
    checkpoint_in: Path | None = None
    num_threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    on_progress: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an evaluation found.

    Attributes:
        metrics: metric name to value.
        curve: (train_bytes, seconds, metric name, value) readings along the way.
        checkpoint: where the state was written, to continue from; None if there is none.
        complete: False if `should_stop` ended it early; the job then resumes from `checkpoint`.
        details: anything else worth keeping (protocol, recipe, throughput), JSON values only.
    """

    metrics: Mapping[str, float]
    curve: tuple[tuple[int, float, str, float], ...] = ()
    checkpoint: Path | None = None
    complete: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


class Evaluator(Spec, ABC):
    """Turns an architecture into metrics. Settings only; a worker process rebuilds it from JSON.

    A candidate that fails raises EvaluationError (or anything else): the worker records it.
    """

    type: str

    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics every complete result holds."""

    @abstractmethod
    def evaluate(self, request: Request) -> Result:
        """Run the job."""

    def warm_up(self, *, num_threads: int) -> None:
        """Do what every process would do before its first job; may be called again.

        The process that calls it is forked later: it must stay without threads, and opens neither
        a database nor a GPU. What it keeps, all workers have.

        Args:
            num_threads: of the jobs to come.
        """

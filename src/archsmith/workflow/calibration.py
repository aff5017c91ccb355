"""Learning rates for the space, calibrated on cooled-down loss.

The parametrization carries a rate over widths and depths, so it is enough to calibrate at one
architecture of each kind, dense and with experts (an expert sees a share of the tokens only, so its
best rate is another): the suggestions the search starts from. The matrices' rate and the
embeddings' rate scale separately; each is tried at half and double. All trials read equal bytes of
text.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, validate
from archsmith.errors import EvaluationError
from archsmith.evaluators.base import Request
from archsmith.train.recipe import Recipe
from archsmith.trial import Rung

FACTORS = (0.5, 1.0, 2.0)
# Runs come in two rounds: three matrix rates, then two more embedding rates at the best of them.
_ROUNDS = (3, 2)


class CalibrationRun(Spec):
    """One rate tried. `bits_per_byte` is of the cooled-down model; None where it diverged."""

    learning_rate: float
    embedding_learning_rate: float
    bits_per_byte: float | None
    train_seconds: float

    def line(self, architecture: Architecture) -> str:
        """What is told of it while the calibration goes on."""
        kind = "experts" if architecture.has_experts else "dense"
        return (
            f"{kind}: learning rate {self.learning_rate:g} (embeddings "
            f"{self.embedding_learning_rate:g}): {self.bits_per_byte or 'diverged'}"
        )


class KindCalibration(Spec):
    """The rates of one kind of network, and what they were chosen from."""

    experts: bool
    architecture: str
    learning_rate: float
    embedding_learning_rate: float
    train_bytes: int
    runs: tuple[CalibrationRun, ...]

    def recipe_changes(self) -> dict[str, float]:
        """What changes in the recipe."""
        matrix, embedding = _settings(experts=self.experts)
        return {matrix: self.learning_rate, embedding: self.embedding_learning_rate}


class Calibration(Spec):
    """The rates of every kind of network in the space."""

    dense: KindCalibration | None = None
    experts: KindCalibration | None = None

    @classmethod
    def of(cls, found: Iterable[KindCalibration]) -> "Calibration":
        """From one calibration of each kind at most."""
        kinds = {("experts" if kind.experts else "dense"): kind for kind in found}
        return cls(dense=kinds.get("dense"), experts=kinds.get("experts"))

    @property
    def kinds(self) -> tuple[KindCalibration, ...]:
        """Those that the space has."""
        return tuple(kind for kind in (self.dense, self.experts) if kind is not None)

    @property
    def runs(self) -> tuple[CalibrationRun, ...]:
        """Everything that was tried."""
        return tuple(run for kind in self.kinds for run in kind.runs)

    def recipe_changes(self) -> dict[str, float]:
        """What changes in the recipe."""
        return {name: rate for kind in self.kinds for name, rate in kind.recipe_changes().items()}


def calibrate(
    evaluator: Any,
    architecture: Architecture,
    *,
    train_bytes: int,
    n_jobs: int,
    num_threads: int,
    seed: int,
    on_run: Callable[[CalibrationRun], None] = lambda run: None,
) -> KindCalibration:
    """Try the rates on `train_bytes` bytes of text each, `n_jobs` at a time.

    Args:
        evaluator: the study's TrunkTraining; its recipe holds the rates to start from.
        architecture: stands for all networks of its kind, dense or with experts.

    Raises:
        EvaluationError: every rate diverged.
    """
    recipe = evaluator.recipe.of(architecture)
    matrix, embedding = recipe.learning_rate, recipe.embedding_learning_rate
    spec = evaluator.model_dump(mode="json")

    def run(rates: list[tuple[float, float]]) -> list[CalibrationRun]:
        context = get_context("spawn")  # torch's threads do not survive a fork
        with ProcessPoolExecutor(n_jobs, mp_context=context) as pool:
            jobs = [
                pool.submit(_run, spec, architecture, rate, train_bytes, num_threads, seed)
                for rate in rates
            ]
            found = []
            for job in as_completed(jobs):
                found.append(job.result())
                on_run(found[-1])
        return found

    runs = run([(matrix * factor, embedding) for factor in FACTORS])
    best = _best(runs)
    runs += run([(best.learning_rate, embedding * factor) for factor in FACTORS if factor != 1.0])
    best = _best(runs)
    return KindCalibration(
        experts=architecture.has_experts,
        architecture=architecture.summary(),
        learning_rate=best.learning_rate,
        embedding_learning_rate=best.embedding_learning_rate,
        train_bytes=train_bytes,
        runs=tuple(sorted(runs, key=lambda one: (one.learning_rate, one.embedding_learning_rate))),
    )


def scaled_rates(recipe: Recipe, architecture: Architecture, factor: float) -> dict[str, float]:
    """What changes in the recipe where both rates of this kind of network are times a factor."""
    own = recipe.of(architecture)
    matrix, embedding = _settings(experts=architecture.has_experts)
    return {
        matrix: own.learning_rate * factor,
        embedding: own.embedding_learning_rate * factor,
    }


def seconds_per_run(seconds: float, *, n_jobs: int, cooldown_fraction: float) -> float:
    """What a run's trunk may take where all runs of one kind, cooldowns included, take `seconds`
    with `n_jobs` at a time."""
    rounds = sum(-(-runs // n_jobs) for runs in _ROUNDS)
    return seconds / rounds / (1.0 + cooldown_fraction)


def _settings(*, experts: bool) -> tuple[str, str]:
    """The recipe's names of the matrices' and the embeddings' rate."""
    prefix = "moe_" if experts else ""
    return f"{prefix}learning_rate", f"{prefix}embedding_learning_rate"


def _best(runs: list[CalibrationRun]) -> CalibrationRun:
    finished = [one for one in runs if one.bits_per_byte is not None]
    if not finished:
        tried = ", ".join(f"{one.learning_rate:g}" for one in runs)
        raise EvaluationError(
            f"calibration: training diverged at every learning rate tried ({tried}); "
            "set a lower training.learning_rate"
        )
    return min(finished, key=lambda one: (one.bits_per_byte, one.learning_rate))


def _run(
    spec: Mapping[str, Any],
    architecture: Architecture,
    rates: tuple[float, float],
    train_bytes: int,
    num_threads: int,
    seed: int,
) -> CalibrationRun:
    from archsmith.evaluators.trunk_training import TrunkTraining

    evaluator = validate(TrunkTraining, dict(spec), source="calibration")
    matrix, embedding = _settings(experts=architecture.has_experts)
    with tempfile.TemporaryDirectory(prefix="archsmith-calibration-") as folder:
        request = Request(
            architecture=architecture,
            rung=Rung(index=0, fraction=1.0, train_bytes=train_bytes),
            seed=seed,
            checkpoint_dir=Path(folder),
            num_threads=num_threads,
            options={
                "cooldown": True,
                matrix: rates[0],
                embedding: rates[1],
            },
        )
        try:
            metrics: Mapping[str, float] = evaluator.evaluate(request).metrics
        except EvaluationError:
            metrics = {}
    return CalibrationRun(
        learning_rate=rates[0],
        embedding_learning_rate=rates[1],
        bits_per_byte=metrics.get("bits_per_byte"),
        train_seconds=metrics.get("train_seconds", 0.0),
    )

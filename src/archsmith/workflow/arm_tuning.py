"""What a one-shot arm tries before its long training: its vocabulary and its learning rates.

A shape drawn by hand leaves both open, and a search that chose them against one that did not would
win by that alone. So an arm spends as large a share of its budget on short runs, cooled down, as a
search does on candidates: its shape at every vocabulary, then other rates at the best of these. The
trunk of the best run goes on over all the rest.

The budget is in seconds, or in training FLOPs where no time ends the job: then the runs and what
they decide are the same each time.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, load_json
from archsmith.data.storage import make_folder, write_text
from archsmith.errors import EvaluationError
from archsmith.evaluators.base import Progress
from archsmith.train.recipe import Recipe
from archsmith.workflow.calibration import scaled_rates
from archsmith.workflow.model_folder import TrainedModel

# A run of fewer updates, or of less than twice the warm-up, tells little of a long training.
LEAST_UPDATES = 200
_STATE = "tuning.json"


class Tuning(Spec):
    """What an arm may try.

    Attributes:
        shapes: one for each vocabulary, the arm's own choice first.
        rate_factors: what both learning rates are multiplied by, beside 1.
        share: of the arm's budget, divided evenly among the runs.
    """

    shapes: tuple[Architecture, ...] = Field(min_length=1)
    rate_factors: tuple[float, ...] = (0.5, 2.0)
    share: float = Field(gt=0.0, le=0.9)


class Run(Spec):
    """One short run.

    Attributes:
        bits_per_byte: held-out, cooled down; None where it failed.
        seconds, flops: of the whole run; those of the trunk it left are among them.
        reason: why it failed.
    """

    architecture: Architecture
    rate_factor: float
    bits_per_byte: float | None = None
    seconds: float = 0.0
    flops: float = 0.0
    trunk_seconds: float = 0.0
    trunk_flops: float = 0.0
    reason: str = ""


class Tuned(Spec):
    """The runs of an arm, as they are kept in its folder.

    Attributes:
        shapes, rate_factors: what is tried, as far as it fits.
        amount: seconds or FLOPs of one run.
        reason: why it is not all that there was to try; empty if it is.
        measuring_seconds: how long it was measured how fast the shapes train.
    """

    shapes: tuple[Architecture, ...]
    rate_factors: tuple[float, ...]
    amount: float
    reason: str = ""
    measuring_seconds: float = 0.0
    runs: tuple[Run, ...] = ()

    @property
    def num_runs(self) -> int:
        """Planned ones; one alone would tell nothing."""
        planned = len(self.shapes) + len(self.rate_factors)
        return planned if planned > 1 else 0

    @property
    def best(self) -> int | None:
        """The run with the lowest score, by its place."""
        scores = [(run.bits_per_byte, i) for i, run in enumerate(self.runs) if run.bits_per_byte]
        return min(scores)[1] if scores else None

    def next(self) -> tuple[Architecture, float] | None:
        """The shape and rate factor of the next run; None when all are done."""
        done = len(self.runs)
        if done < len(self.shapes):
            return self.shapes[done], 1.0
        if done == len(self.shapes) + len(self.rate_factors):
            return None
        first = self.model_copy(update={"runs": self.runs[: len(self.shapes)]}).best
        shape = self.shapes[0] if first is None else self.runs[first].architecture
        return shape, self.rate_factors[done - len(self.shapes)]

    @property
    def all_seconds(self) -> float:
        """Spent on all of this."""
        return self.measuring_seconds + sum(run.seconds for run in self.runs)

    @property
    def seconds(self) -> float:
        """Spent beside the trunk that goes on."""
        kept = 0.0 if self.best is None else self.runs[self.best].trunk_seconds
        return self.all_seconds - kept

    @property
    def flops(self) -> float:
        """Spent beside the trunk that goes on."""
        kept = 0.0 if self.best is None else self.runs[self.best].trunk_flops
        return sum(run.flops for run in self.runs) - kept


class Start(NamedTuple):
    """Where an arm's long training begins: its shape and recipe, and the trunk that goes on."""

    architecture: Architecture
    recipe: Recipe
    checkpoint: Path | None


def plan_runs(tuning: Tuning, *, budget: float, needed: Sequence[float]) -> Tuned:
    """What is tried: all there is, or as much as leaves every run long enough.

    What is left out first are rates, the last ones first, then vocabularies likewise.

    Args:
        budget: seconds or FLOPs of the whole arm.
        needed: of the same, for the least updates that tell something, by shape.
    """
    shapes, factors = list(tuning.shapes), list(tuning.rate_factors)
    all_runs, amount = len(shapes) + len(factors), tuning.share * budget

    def is_enough() -> bool:
        return amount / (len(shapes) + len(factors)) >= max(needed[: len(shapes)])

    while len(shapes) + len(factors) > 1 and not is_enough():
        (factors or shapes).pop()
    runs = len(shapes) + len(factors)
    made = runs if runs > 1 else 0
    reason = ""
    if all_runs == 1:
        reason = "there is one vocabulary, and no other rate is tried"
    elif made < all_runs:
        reason = (
            f"{all_runs} runs in {tuning.share:.0%} of the budget would have fewer than "
            f"{LEAST_UPDATES} updates or twice the warm-up each: {made or 'none'} of them fit"
        )
    return Tuned(
        shapes=tuple(shapes), rate_factors=tuple(factors), amount=amount / runs, reason=reason
    )


def least_updates(recipe: Recipe) -> int:
    """Of a run that tells something."""
    return max(LEAST_UPDATES, 2 * recipe.warmup_steps)


def tune(
    tuning: Tuning,
    *,
    recipe: Recipe,
    folder: Path,
    budget: float,
    needed: Callable[[], Sequence[float]],
    train: Callable[..., TrainedModel],
    clock: Callable[[], float],
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Start:
    """Try what fits; where the arm goes on. Begun again it does what is left.

    Args:
        folder: of the arm; the runs lie in it until `forget` is called.
        budget: seconds or FLOPs of the whole arm.
        needed: asked once for the least that tells something, by shape: see `plan_runs`.
        train: `train(architecture, recipe=, output_dir=, amount=, on_progress=)` for seconds or
            FLOPs; finds by itself what an earlier start left.
        clock: what seconds are measured with.

    Raises:
        EvaluationError: no run came to its end.
        SearchInterrupted: as `train`.
    """
    tuned = read_tuned(folder)
    if tuned is None:
        make_folder(folder)
        started = clock()
        tuned = plan_runs(tuning, budget=budget, needed=needed())
        tuned = tuned.model_copy(update={"measuring_seconds": clock() - started})
        _write(folder, tuned)
    if not tuned.num_runs:
        return Start(tuning.shapes[0], recipe, None)
    part = tuning.share / tuned.num_runs
    while (what := tuned.next()) is not None:
        number, (architecture, factor) = len(tuned.runs), what
        run = _run(
            architecture,
            factor,
            partial(
                train,
                architecture,
                recipe=_scaled(recipe, architecture, factor),
                output_dir=_run_dir(folder, number),
                amount=tuned.amount,
                on_progress=partial(_tell, on_progress, number * part, part),
            ),
            clock=clock,
        )
        tuned = tuned.model_copy(update={"runs": (*tuned.runs, run)})
        _write(folder, tuned)
    if tuned.best is None:
        raise EvaluationError(f"every run failed, the first: {tuned.runs[0].reason}")
    found = tuned.runs[tuned.best]
    return Start(
        found.architecture,
        _scaled(recipe, found.architecture, found.rate_factor),
        _run_dir(folder, tuned.best) / "trunk",
    )


def read_tuned(folder: Path) -> Tuned | None:
    """What an arm tried; None where it is not tuned. Raises ConfigError."""
    path = folder / _STATE
    return load_json(Tuned, path) if path.is_file() else None


def forget(folder: Path) -> None:
    """Remove what the runs left, but for what is known of them."""
    shutil.rmtree(folder / "tuning", ignore_errors=True)


def tuned_details(tuned: Tuned) -> dict[str, Any]:
    """The runs in words and numbers, for the report; `seconds` and `flops` are beside the trunk
    that the arm's own training holds."""
    return {
        "runs": [
            {
                "summary": run.architecture.summary(),
                "vocab_size": run.architecture.vocab_size,
                "rate_factor": run.rate_factor,
                "bits_per_byte": run.bits_per_byte,
                "reason": run.reason,
            }
            for run in tuned.runs
        ],
        "chosen": tuned.best,
        "reason": tuned.reason,
        "seconds": tuned.seconds,
        "flops": tuned.flops,
    }


def moved(progress: Progress, *, first: float, share: float) -> Progress:
    """A part's progress as the whole's."""
    return replace(progress, fraction_done=first + share * progress.fraction_done)


def _tell(
    on_progress: Callable[[Progress], None], first: float, share: float, progress: Progress
) -> None:
    on_progress(moved(progress, first=first, share=share))


def _scaled(recipe: Recipe, architecture: Architecture, factor: float) -> Recipe:
    return recipe.model_copy(update=scaled_rates(recipe, architecture, factor))


def _run(
    architecture: Architecture,
    factor: float,
    train: Callable[[], TrainedModel],
    *,
    clock: Callable[[], float],
) -> Run:
    """A run with its score, or why it has none."""
    from archsmith.train.checkpoint import read_manifest

    started = clock()
    try:
        model = train()
    except EvaluationError as error:
        return Run(
            architecture=architecture,
            rate_factor=factor,
            seconds=clock() - started,
            reason=str(error).split("\n", 1)[0],
        )
    record, trunk = model.record, read_manifest(model.folder / "trunk")
    return Run(
        architecture=architecture,
        rate_factor=factor,
        bits_per_byte=record.curve[-1][2],
        seconds=record.wall_seconds,
        flops=record.flops,
        trunk_seconds=trunk.train_seconds,
        trunk_flops=record.flops * trunk.step / record.steps,
    )


def _run_dir(folder: Path, number: int) -> Path:
    return folder / "tuning" / str(number)


def _write(folder: Path, tuned: Tuned) -> None:
    write_text(folder / _STATE, tuned.model_dump_json(indent=1))

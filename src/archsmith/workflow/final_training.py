"""The final training: the winner's trunk goes on, at the rates it was found to be best with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.data.splits import Split
from archsmith.study import Study
from archsmith.train.recipe import Recipe
from archsmith.workflow.baselines import WINNER
from archsmith.workflow.calibration import scaled_rates
from archsmith.workflow.model_folder import TrainedModel
from archsmith.workflow.selection import Finalist, trunk_to_extend
from archsmith.workflow.study_notes import FINAL_TRAINING, StudyNotes
from archsmith.workflow.training import train_interruptibly
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import Workspace


def train_winner(
    study: Study,
    winner: Finalist,
    recipe: Recipe,
    *,
    workspace: Workspace,
    notes: StudyNotes,
    watcher: Watcher,
    clock: Callable[[], float],
    max_seconds: float | None,
    num_threads: int,
    should_stop: Callable[[], bool],
) -> TrainedModel:
    """Extend the winner's trunk for `max_seconds`, or over the plan's text, and cool it down.

    Where other rates were found to be better, it is the trunk that was trained with them; where
    its score was inherited and it was not trained since, it begins from scratch. Once it is done,
    what it took is entered in the ledger, over all starts that it needed.
    """
    trial = next(one for one in study.trials if one.number == winner.trial)
    trunk = trunk_to_extend(trial, winner)
    before = 0.0 if trunk is None else float(trunk.details.get("flops", 0.0))
    if winner.rate_factor != 1.0:
        rates = scaled_rates(recipe, trial.architecture, winner.rate_factor)
        recipe = recipe.model_copy(update=rates)
    model = train_network(
        workspace,
        WINNER,
        trial.architecture,
        recipe=recipe,
        watcher=watcher,
        clock=clock,
        output_dir=winner_dir(workspace, trial.number),
        max_seconds=max_seconds,
        train_bytes=workspace.config.plan.train_bytes if max_seconds is None else None,
        checkpoint=None if trunk is None else study.checkpoint_root / trunk.checkpoint_out,
        num_threads=num_threads,
        should_stop=should_stop,
    )
    record = model.record
    notes.spend_once(FINAL_TRAINING, seconds=record.wall_seconds, flops=record.flops - before)
    return model


def winner_dir(workspace: Workspace, trial: int) -> Path:
    """Where the model folder of a trial lies that won the search."""
    return workspace.output_dir / "winner" / f"trial-{trial}"


def train_network(
    workspace: Workspace,
    name: str,
    architecture: Architecture,
    *,
    recipe: Recipe,
    watcher: Watcher,
    clock: Callable[[], float],
    output_dir: Path,
    **options: Any,
) -> TrainedModel:
    """Train a network on the search's text in this process; the watcher is told by `name`.

    `options` are the others of `archsmith.workflow.training.train_model`.
    """
    size = architecture.vocab_size
    return train_interruptibly(
        architecture,
        train_tokens=workspace.tokens(Split.TRAIN, size),
        validation_tokens=workspace.tokens(Split.SEARCH, size),
        tokenizer=workspace.tokenizer_for(size),
        recipe=recipe,
        protocol=workspace.config.rung_protocol,
        output_dir=output_dir,
        seed=workspace.config.seed,
        on_progress=lambda progress: watcher.training(name, progress),
        clock=clock,
        **options,
    )

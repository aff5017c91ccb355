"""The arms of the final comparison: their names and folders, and the baselines' training."""

import re
from collections.abc import Callable
from pathlib import Path

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.evaluators.base import Progress
from archsmith.train.recipe import Recipe
from archsmith.workflow.arms import ArmProcess, ArmTask, wait_for
from archsmith.workflow.fitting import fitted
from archsmith.workflow.workspace import Workspace

WINNER = "search winner"
MAXIMIZER = "parameter maximizer"
# strategy -> its arm's name in tables
BASELINES = {
    "parameter_maximizer": MAXIMIZER,
    "llama_shape": "fitted Llama shape",
    "phi3_shape": "fitted Phi-3 shape",
}


def arm_task(
    workspace: Workspace,
    name: str,
    architecture: Architecture,
    *,
    recipe: Recipe,
    max_seconds: float | None = None,
    train_bytes: int | None = None,
    num_threads: int = 1,
) -> ArmTask:
    """A baseline to be trained in a process of its own."""
    assert workspace.tokenizer
    return ArmTask(
        name=name,
        architecture=architecture,
        corpus=workspace.corpus.directory,
        tokenizer=workspace.tokenizer_path,
        tokens_dir=workspace.tokens_dir,
        recipe=recipe,
        protocol=workspace.config.rung_protocol,
        output_dir=arm_dir(workspace, name),
        max_seconds=max_seconds,
        train_bytes=train_bytes,
        seed=workspace.config.seed,
        num_threads=num_threads,
    )


def train_baselines(
    workspace: Workspace,
    *,
    recipe: Recipe,
    budget: Budget | None,
    threads: int,
    winner_bytes: int,
    on_progress: Callable[[str, Progress], None],
) -> None:
    """Train each baseline in a process of its own, one core each, `threads` of them at a time.

    Each is fitted to the search file's limits and gets as many core-seconds as calibration, search
    and the final training on `threads` cores together; without a budget, as much text as the
    winner: `winner_bytes`.

    Raises:
        InfeasibleError: a shape cannot be fitted.
        EvaluationError: one could not be trained.
    """
    config, problem, seconds = workspace.config, workspace.problem(), None
    if budget is not None:
        searched = budget.calibration_seconds + budget.search_seconds
        seconds = searched * config.n_jobs + budget.training_seconds * threads
    waiting = [
        arm_task(
            workspace,
            BASELINES[kind],
            fitted(problem, registry.find("strategies", kind)(), target=workspace.target),
            recipe=recipe,
            max_seconds=seconds,
            train_bytes=winner_bytes if seconds is None else None,
        )
        for kind in config.baselines
    ]
    while waiting:
        group, waiting = waiting[:threads], waiting[threads:]
        wait_for([ArmProcess(task, on_progress=on_progress) for task in group])


def arm_dir(workspace: Workspace, name: str) -> Path:
    """Where a baseline's model folder lies."""
    return workspace.output_dir / "arms" / _folder_name(name)


def model_dir(workspace: Workspace, name: str = WINNER) -> Path:
    """Where an arm's exported files lie."""
    return workspace.output_dir / "models" / _folder_name(name)


def _folder_name(name: str) -> str:
    """An arm's name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()

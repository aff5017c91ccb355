"""The baselines of the final comparison: names, folders, what they may cost, their training."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.budget import Arrangement, arrange
from archsmith.config import Spec, validate
from archsmith.device.environment import num_usable_cores
from archsmith.errors import ArchsmithError, EvaluationError, InfeasibleError
from archsmith.store.records import LedgerEntry
from archsmith.strategies.base import Strategy
from archsmith.train.recipe import Recipe
from archsmith.trial import Problem
from archsmith.workflow.arm_training import ArmTask
from archsmith.workflow.arm_tuning import Tuning
from archsmith.workflow.arms import ArmProcess
from archsmith.workflow.fitting import fitted, fitted_at_each
from archsmith.workflow.model_folder import TrainingRecord
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import EXPORTS, Workspace

WINNER = "search winner"
MAXIMIZER = "parameter maximizer"
# strategy -> its arm's name in tables
BASELINES = {
    "parameter_maximizer": MAXIMIZER,
    "llama_shape": "fitted Llama shape",
    "phi3_shape": "fitted Phi-3 shape",
}
_NOTE = "baselines"


class Decided(Spec):
    """What a baseline is and may cost, written down before it is trained.

    Attributes:
        shapes: fitted to the limits, at every vocabulary; none where nothing fits.
        max_seconds, max_flops: what the search took; seconds of the baseline's cores together.
        reason: why it could not be trained.
    """

    shapes: tuple[Architecture, ...] = ()
    max_seconds: float | None = None
    max_flops: float | None = None
    least_bytes: int = 0
    reason: str = ""


def arm_task(
    workspace: Workspace, name: str, architecture: Architecture, *, recipe: Recipe, **options: Any
) -> ArmTask:
    """A baseline to be trained in a process of its own; `options` are others of `ArmTask`."""
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
        seed=workspace.config.seed,
        **options,
    )


def train_baselines(
    workspace: Workspace,
    *,
    recipe: Recipe,
    notes: StudyNotes,
    watcher: Watcher,
    num_cores: int,
    winner: TrainingRecord,
    begin: Callable[[float | None], None],
    in_one_process: bool = False,
) -> list[str]:
    """Train the search file's baselines, each in a process of its own; the names of those done.

    Each is fitted to the limits and tuned: its vocabulary and rates are chosen on short runs. With
    those it costs what the ledger says the search cost, from the suggestion to the end of the final
    training: as many core-seconds, or without a timeout as many training FLOPs, and then it reads
    at least as much text as the winner. One that cannot be fitted or trained is left out, with a
    note why.

    Args:
        winner: record of the final training.
        begin: told the seconds that all will take, None where that is not known.
        in_one_process: CPU seconds alone count.

    Raises:
        SearchInterrupted: one was stopped; the same call goes on.
    """
    config = workspace.config
    place = _place(len(config.baselines), num_cores=num_cores, winner=winner)
    decided: dict[str, Any] = dict(notes.get(_NOTE) or {})
    cost = _cost(workspace, notes, winner, place, in_one_process=in_one_process)
    begin(None if cost.max_seconds is None else cost.max_seconds * place.rounds)

    def leave_out(name: str, found: Decided, error: ArchsmithError) -> None:
        reason = str(error).split("\n", 1)[0]
        decided[name] = found.model_copy(update={"reason": reason}).model_dump(mode="json")
        notes.put(_NOTE, decided)
        watcher.note(f"there will be no {name} to compare with: {reason}")

    waiting: list[ArmTask] = []
    for kind in config.baselines:
        name = BASELINES[kind]
        if name not in decided:
            try:
                found = cost.model_copy(update={"shapes": fit(workspace, kind)})
            except InfeasibleError as error:
                leave_out(name, Decided(), error)
                continue
            decided[name] = found.model_dump(mode="json")
            notes.put(_NOTE, decided)
        found = validate(Decided, decided[name], source="the stored baselines")
        if not found.shapes:
            continue
        waiting.append(
            arm_task(
                workspace,
                name,
                found.shapes[0],
                recipe=recipe,
                tuning=Tuning(shapes=found.shapes, share=config.plan.search_share),
                max_seconds=found.max_seconds,
                max_flops=found.max_flops,
                least_bytes=found.least_bytes,
                num_threads=place.threads,
                clock="cpu" if in_one_process else "wall",
            )
        )
    done = []
    while waiting:
        group, waiting = waiting[: place.at_once], waiting[place.at_once :]
        arms = [ArmProcess(task, on_progress=watcher.training) for task in group]
        try:
            for arm in arms:
                try:
                    arm.wait()
                    done.append(arm.task.name)
                except EvaluationError as error:
                    own = validate(Decided, decided[arm.task.name], source="the stored baselines")
                    leave_out(arm.task.name, own, error)
        except BaseException:
            for arm in arms:
                arm.stop()
            raise
    return done


def fit(workspace: Workspace, kind: str) -> tuple[Architecture, ...]:
    """A baseline's shape at every vocabulary of the search, its own choice first.

    Raises InfeasibleError where it has none that meets the limits.
    """
    strategy: Strategy = registry.find("strategies", kind)()
    problem, target = workspace.problem(), workspace.target
    first = fitted(problem, strategy, target=target)
    alone = {
        vocabulary.vocab_size: Problem(
            space=workspace.config.space.build((vocabulary,)).exportable_to(EXPORTS).space,
            objectives=problem.objectives,
            limits=problem.limits,
            static_metrics=problem.static_metrics,
            seed=problem.seed,
        )
        for vocabulary in workspace.vocabularies
    }
    return fitted_at_each(alone, strategy, first=first, target=target)


def _place(num_baselines: int, *, num_cores: int, winner: TrainingRecord) -> Arrangement:
    """Side by side on cores; one after the other where another device trains, as the winner."""
    if _on_cpu():
        return arrange(num_baselines, num_cores=num_cores, lone_threads=winner.num_threads)
    return Arrangement(at_once=1, threads=winner.num_threads, rounds=num_baselines)


def _cost(
    workspace: Workspace,
    notes: StudyNotes,
    winner: TrainingRecord,
    place: Arrangement,
    *,
    in_one_process: bool,
) -> Decided:
    """What each may cost, as the ledger stands."""
    n_jobs, on_cpu = workspace.config.n_jobs, _on_cpu()
    share = min(num_usable_cores() / n_jobs, 1.0)

    def of_job(entry: LedgerEntry) -> float:
        """A core counts for as long as it was held, whatever else the machine did."""
        if in_one_process:
            return entry.cpu_seconds
        return max(entry.cpu_seconds, entry.seconds * share) if on_cpu else entry.seconds / n_jobs

    spent = notes.search_spent(final_threads=winner.num_threads if on_cpu else 1, of_job=of_job)
    if workspace.config.timeout is None:
        return Decided(max_flops=spent.flops, least_bytes=winner.train_bytes)
    return Decided(max_seconds=spent.core_seconds / (place.threads if on_cpu else 1))


def _on_cpu() -> bool:
    from archsmith.train.precision import choose_device

    return choose_device("auto").type == "cpu"


def arm_dir(workspace: Workspace, name: str) -> Path:
    """Where a baseline's model folder lies."""
    return workspace.output_dir / "arms" / _folder_name(name)


def model_dir(workspace: Workspace, name: str = WINNER) -> Path:
    """Where an arm's exported files lie."""
    return workspace.output_dir / "models" / _folder_name(name)


def _folder_name(name: str) -> str:
    """An arm's name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()

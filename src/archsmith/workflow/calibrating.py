"""The phase that calibrates the learning rates, for every kind of network in the space.

It is done once: what was found is a note, from which the recipe is read at every later start.
"""

from collections.abc import Callable, Mapping

from archsmith.config import validate
from archsmith.device.environment import num_usable_cores
from archsmith.evaluators.base import Evaluator
from archsmith.train.recipe import Recipe
from archsmith.workflow.calibration import Calibration, calibrate, seconds_per_run
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.workspace import Workspace

_NOTE = "calibration"


def is_calibrated(notes: StudyNotes) -> bool:
    """Whether an earlier start has calibrated the rates."""
    return bool(notes.get(_NOTE))


def calibrated(recipe: Recipe, notes: StudyNotes) -> Recipe:
    """The recipe with the noted rates, as it is where there are none."""
    stored = notes.get(_NOTE)
    if not stored:
        return recipe
    found = validate(Calibration, stored, source="the stored calibration")
    return recipe.model_copy(update=found.recipe_changes())


def note_calibration(
    suggestion: Suggestion,
    evaluator: Evaluator,
    *,
    workspace: Workspace,
    seconds: float,
    note: Callable[[str], None],
    notes: StudyNotes,
    clock: Callable[[], float],
) -> None:
    """`calibrate_suggestions`, noted with the core-seconds it took."""
    started = clock()
    found = calibrate_suggestions(
        suggestion,
        evaluator,
        config=workspace.config,
        bytes_per_token=workspace.bytes_per_token,
        seconds=seconds,
        note=note,
    )
    notes.put(_NOTE, found.model_dump(mode="json"))
    trained = sum(run.train_seconds for run in found.runs) * _threads(workspace.config)
    notes.spend("calibration", max(clock() - started, trained))


def calibrate_suggestions(
    suggestion: Suggestion,
    evaluator: Evaluator,
    *,
    config: SearchConfig,
    bytes_per_token: Mapping[int, float],
    seconds: float,
    note: Callable[[str], None],
) -> Calibration:
    """Calibrate at the suggestion of each kind, in equal parts of `seconds`.

    Raises EvaluationError where every rate diverged.
    """
    chosen = suggestion.of_each_kind()
    each = seconds_per_run(
        seconds / len(chosen),
        n_jobs=config.n_jobs,
        cooldown_fraction=config.training.cooldown_fraction,
    )

    def train_bytes(tokens_per_second: float, vocab_size: int) -> int:
        return max(round(each * tokens_per_second * bytes_per_token[vocab_size]), 1)

    return Calibration.of(
        calibrate(
            evaluator,
            architecture,
            train_bytes=train_bytes(
                suggestion.flops_per_second / 3.0 / architecture.flops_per_token(),
                architecture.vocab_size,
            ),
            n_jobs=config.n_jobs,
            num_threads=_threads(config),
            seed=config.seed,
            on_run=lambda run, shape=architecture: note(run.line(shape)),  # type: ignore[misc]
        )
        for architecture in chosen
    )


def _threads(config: SearchConfig) -> int:
    """Of one run: the cores are divided among those side by side."""
    return max(1, num_usable_cores() // config.n_jobs)

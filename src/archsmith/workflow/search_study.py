"""The study of a search file: made, or continued with the ladder and rule it was begun with."""

import time
from collections.abc import Callable
from functools import partial

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.data.splits import Split
from archsmith.errors import ConfigError
from archsmith.halving.settings import Halving
from archsmith.store.store import Store
from archsmith.study import Study, create_study
from archsmith.trial import Rung
from archsmith.workflow.baselines import MAXIMIZER
from archsmith.workflow.fitting import measure_latency
from archsmith.workflow.inheriting import inherited_rung, read_plan
from archsmith.workflow.planning import plan_halving, plan_ladder
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion, text_after_search
from archsmith.workflow.tasks import search_objectives
from archsmith.workflow.workspace import Workspace

_MARGIN = 0.005  # bits per byte


def open_study(
    suggestion: Suggestion,
    *,
    workspace: Workspace,
    store: Store,
    notes: StudyNotes,
    budget: Budget | None,
    start_rows: int | None = None,
) -> Study:
    """The study, made or continued; it begins with the suggestion's first `start_rows` rows.

    Raises ConfigError where it was begun with other settings, or for another machine.
    """
    config = workspace.config
    limited = {limit.metric for limit in config.limits}
    needs_latency = "decode_ms_per_token" in {*config.objectives, *limited}
    study = create_study(
        study_name=config.study_name,
        storage=store,
        space=workspace.space,
        strategy=config.strategy,
        objectives=search_objectives(config.objectives),
        static_metrics=workspace.static_metrics,
        limits=config.limits,
        rungs=ladder(suggestion, workspace=workspace, notes=notes),
        halving=_halving(workspace, notes, budget),
        seed=config.seed,
        start=tuple(dict.fromkeys(row.architecture for row in suggestion.rows[:start_rows])),
        corpus_train_bytes=workspace.corpus.split_bytes(Split.TRAIN),
        corpus_bits_per_byte=suggestion.corpus_bits_per_byte,
        root=workspace.root,
        final_bytes=_final_bytes(suggestion, workspace=workspace, notes=notes),
        measure=partial(measure_latency, target=workspace.target) if needs_latency else None,
        load_if_exists=True,
        checkpoint_dir=workspace.output_dir / "checkpoints" / config.study_name,
        settings=config.model_dump(mode="json"),
    )
    _check_target(study, config.device.target)
    return study


def ladder(suggestion: Suggestion, *, workspace: Workspace, notes: StudyNotes) -> tuple[Rung, ...]:
    """The rungs; a continued study keeps those it was started with."""
    spec = notes.spec
    if spec is not None:
        return tuple(Rung.model_validate(rung) for rung in spec["rungs"])
    planned = read_plan(notes)
    if planned is not None:
        return (inherited_rung(planned, workspace.config, suggestion),)
    return plan_ladder(workspace.config, suggestion, workspace.bytes_per_token)


def note_terms(notes: StudyNotes, *, command: str, budget: Budget | None) -> None:
    """Write down what waited for the study, how the search was started and what its verdict will
    be about, which is fixed once, before anything is trained."""
    notes.write()
    notes.put("command", command)
    if not notes.get("verdict"):
        primary = {"primary_baseline": MAXIMIZER, "margin": _MARGIN, "time": time.time()}
        notes.put("verdict", primary)
    if budget is not None:
        notes.put("plan", dict(budget.lines()))


def _final_bytes(
    suggestion: Suggestion, *, workspace: Workspace, notes: StudyNotes
) -> Callable[[Architecture], int] | None:
    """The text that each network would be trained on in the end; None where scores are inherited,
    of which none grows with a network's own text."""
    if read_plan(notes) is not None:
        return None
    return text_after_search(
        suggestion,
        bytes_per_token=workspace.bytes_per_token,
        in_bytes=workspace.config.plan.train_bytes is not None,
    )


def _halving(workspace: Workspace, notes: StudyNotes, budget: Budget | None) -> Halving:
    """How rungs eliminate; a continued study keeps its own rule."""
    spec = notes.spec
    if spec is not None:
        return Halving.model_validate(spec["halving"])
    return plan_halving(workspace.config, budget)


def _check_target(study: Study, target: str | None) -> None:
    """Milliseconds of two machines never stand in one study. Raises ConfigError."""
    device = study.record.spec.get("settings", {}).get("device") or {}
    if device.get("target") != target:
        raise ConfigError(
            f"device.target is {target!r}, and the study '{study.study_name}' was "
            f"started with {device.get('target')!r}; give another study_name"
        )

"""Choose the winner among the finalists, on text the search has not seen, for the user's horizon.

Each finalist's trunk is cooled down where the time allows, written as the file it would be deployed
as, and scored on the selection-validation split. Its score at the end of the final training is
foreseen from there. The suggestion the search began with is always a finalist, so the search never
returns a model that validated worse than it. With several objectives as well the loss and the tasks
decide who wins; others say who is a finalist (`finalist_choice`) and what the report tells of each.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.workflow.foresight import Foresight, readings

Weights = dict[str, np.ndarray]


class FinalistRun(Spec):
    """One training of a finalist to its last rung, cooled down and scored.

    Attributes:
        rate_factor: what both learning rates of the recipe were multiplied by.
        selection_bits_per_byte: of the written file, on the selection split; None where the
            training failed.
        task_errors: error rates on the user's tasks, of an exported file.
        checkpoint: of its trunk, relative to the study's folder of checkpoints; of those that were
            trained again, the winner's alone is kept.
        reason: why it failed.
    """

    seed: int
    rate_factor: float = 1.0
    selection_bits_per_byte: float | None = None
    task_errors: Mapping[str, float] = {}
    checkpoint: str = ""
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether it has a score."""
        return self.selection_bits_per_byte is not None


class Finalist(Spec):
    """A candidate at the end of the search.

    Attributes:
        selection_bits_per_byte: of the written file, on the selection split; with several
            seeds their mean, at the rates that the final training will have.
        predicted_bits_per_byte: the same at the end of the final training.
        cooled: whether the trunk was cooled down before it was scored.
        task_errors: error rates on the user's tasks, of an exported file; they decide first.
        runs: its trainings, the search's own first.
        rate_factor: what both learning rates are multiplied by in the final training.
    """

    trial: int
    rung: int
    train_bytes: int
    search_bits_per_byte: float
    selection_bits_per_byte: float
    predicted_bits_per_byte: float
    half_width: float
    cooled: bool
    task_errors: Mapping[str, float] = {}
    runs: tuple[FinalistRun, ...] = ()
    rate_factor: float = 1.0

    @property
    def seed_scores(self) -> tuple[float, ...]:
        """What its trainings at the recipe's rates scored; they differ in their seed alone."""
        scores = (run.selection_bits_per_byte for run in self.runs if run.rate_factor == 1.0)
        return tuple(score for score in scores if score is not None)

    @property
    def trunk(self) -> FinalistRun | None:
        """The training that the final one goes on from; None where it was not noted."""
        same = (run for run in self.runs if run.rate_factor == self.rate_factor)
        return next(same, None)

    def worse_than(self, suggestion: "Finalist | None") -> bool:
        """Whether it validated worse than what the search began with, as both stand now."""
        if suggestion is None or suggestion.trial == self.trial:
            return False
        errors, least = sum(self.task_errors.values()), sum(suggestion.task_errors.values())
        if errors != least:
            return errors > least
        return self.selection_bits_per_byte > suggestion.selection_bits_per_byte

    @property
    def rank(self) -> tuple[float, float, int]:
        """Lower is better: errors on tasks, then the loss, whatever other objectives there are."""
        return sum(self.task_errors.values()), self.predicted_bits_per_byte, self.trial

    @property
    def rank_alone(self) -> tuple[float, float, int]:
        """The same by the search's own training, as if there had been no other."""
        own = self.runs[0] if self.runs else None
        if own is None or own.selection_bits_per_byte is None:
            return self.rank
        ahead = self.predicted_bits_per_byte - self.selection_bits_per_byte
        return sum(own.task_errors.values()), own.selection_bits_per_byte + ahead, self.trial


def trunk_weights(checkpoint: Path) -> Weights:
    """The float32 weights of a trunk's checkpoint by canonical name."""
    from archsmith.model.transformer import to_numpy
    from archsmith.train.trunk import load_model

    return to_numpy(load_model(checkpoint))


def select(
    finalists: Sequence[TrialRecord],
    *,
    weights_of: Callable[[TrialRecord], tuple[Path, bool]],
    foresight: Foresight,
    score: Callable[[Architecture, Weights], tuple[float, Mapping[str, float]]],
) -> list[Finalist]:
    """Score every finalist; the first of the returned ones is the winner.

    Args:
        weights_of: path of a finalist's cooled weights (True) or of its trunk (False).
        foresight: of all trials of the search.
        score: bits per byte on the selection split and error rates on the user's tasks.
    """
    found = []
    for trial in finalists:
        path, cooled = weights_of(trial)
        weights = load_file(path) if cooled else trunk_weights(path)
        selection, errors = score(trial.architecture, weights)
        job, ahead = trunk_of(trial), foresight.of(trial)
        last = max(readings(trial, foresight.horizon))
        found.append(
            Finalist(
                trial=trial.number,
                rung=trial.rung,
                train_bytes=last.train_bytes,
                search_bits_per_byte=last.bits_per_byte,
                selection_bits_per_byte=selection,
                predicted_bits_per_byte=selection + ahead.bits_per_byte - last.bits_per_byte,
                half_width=ahead.half_width,
                cooled=cooled,
                task_errors=errors,
                runs=(
                    FinalistRun(
                        seed=job.seed,
                        selection_bits_per_byte=selection,
                        task_errors=errors,
                        checkpoint=job.checkpoint_out,
                    ),
                ),
            )
        )
    return ranked(found)


def ranked(finalists: Sequence[Finalist]) -> list[Finalist]:
    """Best first. What validated worse than the suggestion stands behind it.

    Where the best by a single training was trained with several seeds, who was goes before who was
    not: one lucky training does not beat a mean. Where its other seeds are missing, single
    trainings are compared: a time that was too short for the best is no reason against it.
    """
    first = next((one for one in finalists if one.trial == 0), None)

    def alone(one: Finalist) -> tuple[bool, tuple[float, float, int]]:
        return one.worse_than(first), one.rank_alone

    several = bool(finalists) and len(min(finalists, key=alone).seed_scores) > 1
    return sorted(
        finalists,
        key=lambda one: (
            (one.worse_than(first), len(one.seed_scores) < 2, one.rank)
            if several
            else (one.worse_than(first), False, one.rank_alone)
        ),
    )


def trunk_of(trial: TrialRecord) -> JobRecord:
    """The job that left the trunk of a trial: of the highest rung it finished."""
    job = trial.last_rung
    assert job is not None
    return job


def trained_trunk(trial: TrialRecord) -> JobRecord | None:
    """The job that left the trunk of a trial; where its score is inherited, what it was trained to
    from scratch since, or None."""
    job = trunk_of(trial)
    if not job.is_inherited:
        return job
    alone = [
        other
        for other in trial.jobs
        if other.kind is JobKind.EXTEND and other.state is JobState.DONE and other.checkpoint_out
    ]
    return max(alone, key=lambda other: other.train_bytes, default=None)


def trunk_to_extend(trial: TrialRecord, finalist: Finalist) -> JobRecord | None:
    """The job whose trunk the final training goes on from: the search's own, or where the finalist
    was better at other rates, the one that was trained with them. None: it begins from scratch."""
    run = finalist.trunk
    if run is None or finalist.rate_factor == 1.0:
        return trained_trunk(trial)
    return next(
        job
        for job in trial.jobs
        if job.kind is JobKind.REPEAT and job.checkpoint_out == run.checkpoint
    )

"""Jobs beside the ladder: a trial trained on from its checkpoint, or again from scratch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from archsmith.config import content_hash
from archsmith.errors import CheckpointError, ConfigError
from archsmith.store.records import JobKind, NewJob, TrialRecord
from archsmith.trial import Rung
from archsmith.units import parse_bytes


class Repeat(NamedTuple):
    """A trial to be trained again: with which seed, and the evaluator's further settings."""

    trial: int
    seed: int
    options: Mapping[str, Any]


def repetition(trial: TrialRecord, *, seed: int, options: Mapping[str, Any]) -> NewJob:
    """A training from scratch to the last rung that the trial finished.

    Raises ConfigError where it has finished none.
    """
    last = trial.last_rung
    if last is None:
        raise ConfigError(
            f"trial {trial.number} was never trained ({trial.reason or trial.state.value}): "
            "there is nothing to repeat"
        )
    return NewJob(
        number=trial.number,
        kind=JobKind.REPEAT,
        rung=last.rung,
        fraction=last.fraction,
        train_bytes=last.train_bytes,
        seed=seed,
        label=content_hash({"train_bytes": last.train_bytes, "options": dict(options)}),
        options=dict(options),
    )


def extension(
    trial: TrialRecord,
    *,
    rungs: Sequence[Rung],
    train_bytes: int | str,
    options: Mapping[str, Any],
) -> NewJob:
    """A training on from the checkpoint of the trial's last rung, with the seed it has.

    Args:
        rungs: of the study; the job's fraction is one of their whole plan.
        train_bytes: how far, from the beginning of the trunk.

    Raises:
        CheckpointError: the trial has no checkpoint.
    """
    target = parse_bytes(train_bytes)
    source = trial.last_rung
    if source is None or not source.checkpoint_out:
        raise CheckpointError(
            f"trial {trial.number} has no checkpoint to train on from; choose another trial "
            "(the best ones' are always kept)"
        )
    whole = rungs[-1].train_bytes / rungs[-1].fraction if rungs else target
    return NewJob(
        number=trial.number,
        kind=JobKind.EXTEND,
        rung=source.rung,
        fraction=target / whole if target else 0.0,
        train_bytes=target,
        seed=source.seed,
        label=content_hash({"train_bytes": target, "options": dict(options)}),
        options=options,
        checkpoint_in=source.checkpoint_out,
    )

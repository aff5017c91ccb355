"""Train one architecture for a given time or amount of text, from its trunk's checkpoint on.

The trunk is extended, never restarted. It is saved on the way, so that a killed training goes on
where it was, with the time it had left. The last part of the time is the cooldown.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.storage import write_text
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.device.profile import training_profile
from archsmith.errors import CheckpointError, ConfigError, SearchInterrupted
from archsmith.evaluators.base import Progress
from archsmith.runtime.driver import Interrupts
from archsmith.train.recipe import Recipe
from archsmith.workflow.model_folder import (
    TrainedModel,
    TrainingRecord,
    is_model_folder,
    load_model_folder,
    write_model_folder,
)

SAVE_EVERY_SECONDS = 60.0
_TRUNK = "trunk"
_STATE = "progress.json"


def train_interruptibly(
    architecture: Architecture,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> TrainedModel:
    """`train_model`, in which Ctrl-C and SIGTERM save the trunk before they raise."""
    interrupts = Interrupts()
    with interrupts.listening():
        return train_model(
            architecture, should_stop=lambda: should_stop() or interrupts.asked(), **options
        )


def train_model(
    architecture: Architecture,
    *,
    train_tokens: TokenFile,
    validation_tokens: TokenFile,
    tokenizer: Tokenizer,
    recipe: Recipe,
    protocol: ScoringProtocol,
    output_dir: Path,
    max_seconds: float | None = None,
    train_bytes: int | None = None,
    checkpoint: Path | None = None,
    seed: int = 0,
    num_threads: int = 1,
    num_readings: int = 8,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedModel:
    """Extend a trunk, cool it down, and write a model folder; returns the one there if finished.

    Args:
        max_seconds: wall time for everything in here, cooldown and scoring included.
        train_bytes: text to train on, cooldown included; exactly one of the two is given.
        checkpoint: trunk to continue; one that an earlier call left in `output_dir` goes first.
        protocol: of the held-out readings along the way; cheap with `max_bytes`.
        should_stop: polled between updates; True saves the trunk and raises.
        clock: what seconds are measured with.

    Raises:
        ConfigError: not exactly one end is given, the folder cannot be written or holds another
            model, or the device profile is of another machine.
        SearchInterrupted: `should_stop` asked; the same call continues.
        DivergedError, OutOfMemoryError, CheckpointError: as `archsmith.train.trunk`.
    """
    import torch

    from archsmith.model.transformer import to_numpy
    from archsmith.train.balancing import expert_details
    from archsmith.train.precision import dtype_name
    from archsmith.train.scoring import score_model
    from archsmith.train.trunk import Reading, Trunk

    if (max_seconds is None) == (train_bytes is None):
        raise ConfigError("give exactly one of max_seconds and train_bytes")
    if is_model_folder(output_dir):
        there = load_model_folder(output_dir)
        _check_same(there.architecture, architecture, output_dir)
        return there
    training_profile()  # one of another machine is refused, also where a trunk is continued
    torch.set_num_threads(num_threads)
    own, state_file = output_dir / _TRUNK, output_dir / _STATE
    curve: list[tuple[int, float, float]] = []
    before = 0.0
    if state_file.is_file():
        before, curve = _read_state(state_file)
        checkpoint = own
    started = clock()
    if checkpoint is None:
        trunk = Trunk.start(
            architecture,
            recipe=recipe,
            seed=seed,
            tokens=train_tokens,
            device="auto",
            clock=clock,
            seconds=max_seconds,
        )
    else:
        # what an earlier call began goes on as it was: the same bits
        seconds = None if checkpoint == own else max_seconds
        trunk = Trunk.load(checkpoint, tokens=train_tokens, clock=clock, seconds=seconds)
        _check_same(trunk.architecture, architecture, checkpoint)
    first_step, first_seconds = trunk.step, trunk.train_seconds
    reading_seconds = 0.0

    def wall_seconds() -> float:
        return before + clock() - started

    def cooldown_seconds() -> float:
        steps = trunk.step - first_step
        here = (trunk.train_seconds - first_seconds) / steps if steps else 0.0
        return here * trunk.cooldown_steps() + reading_seconds

    def share_done() -> float:
        """1 when it is time to cool down."""
        if train_bytes is not None:
            return trunk.train_bytes * (1.0 + recipe.cooldown_fraction) / train_bytes
        assert max_seconds is not None
        return wall_seconds() / max(max_seconds - cooldown_seconds(), 1e-9)

    def tell(reading: Reading, *, cooling: bool = False) -> None:
        whole = 1.0 + recipe.cooldown_fraction
        share = 1.0 + recipe.cooldown_fraction * reading.fraction_done if cooling else share_done()
        on_progress(
            Progress(
                step=reading.step,
                train_bytes=reading.train_bytes,
                fraction_done=min(share / whole, 1.0),
                metrics={
                    "train_bits_per_byte": reading.bits_per_byte,
                    "tokens_per_second": reading.tokens_per_second,
                },
            )
        )

    def read_held_out() -> None:
        nonlocal reading_seconds
        begun = clock()
        score = score_model(trunk.model(), validation_tokens, protocol)
        reading_seconds = clock() - begun
        curve.append((trunk.train_bytes, trunk.train_seconds, score.bits_per_byte))
        on_progress(
            Progress(
                step=trunk.step,
                train_bytes=trunk.train_bytes,
                fraction_done=min(share_done() / (1.0 + recipe.cooldown_fraction), 1.0),
                metrics={"bits_per_byte": score.bits_per_byte},
            )
        )

    def save() -> None:
        trunk.save(own)
        write_text(state_file, json.dumps({"wall_seconds": wall_seconds(), "curve": curve}))

    saved = clock()
    next_reading = (int(share_done() * num_readings) + 1) / num_readings

    def pause() -> bool:
        due = share_done() >= min(next_reading, 1.0) or clock() - saved >= SAVE_EVERY_SECONDS
        return due or should_stop()

    while share_done() < 1.0:
        trunk.run(None, on_progress=tell, should_stop=pause)
        if should_stop():
            save()
            raise SearchInterrupted("training was stopped; the same command continues it")
        if clock() - saved >= SAVE_EVERY_SECONDS:
            save()
            saved = clock()
        if share_done() >= next_reading and next_reading < 1.0:
            read_held_out()
            next_reading += 1.0 / num_readings
    save()
    trained_bits, experts = trunk.bits_per_byte, expert_details(trunk.expert_loads)
    steps = trunk.step + trunk.cooldown_steps()
    cooled_from = trunk.branch_seconds
    model = trunk.cooldown(
        on_progress=lambda reading: tell(reading, cooling=True), should_stop=should_stop
    )
    if model is None:
        raise SearchInterrupted("training was stopped in its cooldown; the same command continues")
    score = score_model(model, validation_tokens, protocol)
    seconds = trunk.train_seconds + trunk.branch_seconds - cooled_from
    share = steps / trunk.step
    curve.append((round(trunk.train_bytes * share), seconds, score.bits_per_byte))
    record = TrainingRecord(
        train_seconds=seconds,
        wall_seconds=wall_seconds(),
        train_bytes=round(trunk.train_bytes * share),
        train_tokens=round(trunk.train_tokens * share),
        steps=steps,
        flops=trunk.flops * share,
        epochs=trunk.train_bytes * share / train_tokens.num_bytes,
        seed=seed,
        num_threads=num_threads,
        dtype=dtype_name(trunk.dtype),
        kernels=trunk.kernels,
        experts=experts,
        recipe=recipe,
        train_bits_per_byte=trained_bits,
        curve=tuple(curve),
        from_checkpoint=None if checkpoint is None else str(checkpoint),
    )
    finished = TrainedModel(
        folder=output_dir,
        architecture=architecture,
        tokenizer=tokenizer,
        weights=to_numpy(model),
        record=record,
    )
    return write_model_folder(finished)


def _check_same(there: Architecture, given: Architecture, folder: Path) -> None:
    if there != given:
        raise ConfigError(
            f"{folder} holds another model ({there.summary()}) than the one to be trained "
            f"({given.summary()}); choose another output folder"
        )


def _read_state(path: Path) -> tuple[float, list[tuple[int, float, float]]]:
    """Wall seconds and readings of an interrupted training. Raises CheckpointError."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        curve = [(int(size), float(when), float(bits)) for size, when, bits in state["curve"]]
        return float(state["wall_seconds"]), curve
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path}: damaged: {error}; remove the folder {path.parent} to train again from the "
            "search's checkpoint"
        ) from None

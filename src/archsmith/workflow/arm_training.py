"""How a one-shot arm of the final comparison is trained: one shape, all of a given cost.

Where it is tuned, its short runs are part of the cost, and the best of their trunks goes on over
all the rest. Begun again it does what is left, in the time or FLOPs that are left.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.data.corpus import Corpus
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.evaluators.base import Progress
from archsmith.train.clocks import CLOCKS
from archsmith.train.recipe import Recipe
from archsmith.workflow.arm_tuning import (
    Start,
    Tuning,
    forget,
    least_updates,
    moved,
    read_tuned,
    tune,
    tuned_details,
)
from archsmith.workflow.model_folder import (
    TrainedModel,
    TrainingRecord,
    is_model_folder,
    load_model_folder,
)
from archsmith.workflow.throughput import training_tokens_per_second
from archsmith.workflow.training import train_interruptibly

# A shape's speed is measured over so many seconds, or two updates.
_SPEED_SECONDS = 0.3


class ArmTask(Spec):
    """Everything a process needs to train one arm into `output_dir`.

    Attributes:
        architecture: what is trained where it is not tuned.
        max_seconds, train_bytes, max_flops: its cost, exactly one of them; the tuning is part of
            it. With `max_flops` at least `least_bytes` of text are read, whatever that takes.
        tuning: what it tries before; its first shape is `architecture`. Not with `train_bytes`.
        clock: what seconds are measured with.
    """

    name: str
    architecture: Architecture
    corpus: Path
    tokenizer: Path
    tokens_dir: Path
    recipe: Recipe
    protocol: ScoringProtocol
    output_dir: Path
    max_seconds: float | None = None
    train_bytes: int | None = None
    max_flops: float | None = None
    least_bytes: int = 0
    tuning: Tuning | None = None
    seed: int = 0
    num_threads: int = 1
    clock: Literal["wall", "cpu"] = "wall"


def train_arm(
    task: ArmTask, *, on_progress: Callable[[Progress], None] = lambda progress: None
) -> TrainedModel:
    """Train the arm in this process; the model there if it is finished.

    Raises EvaluationError, SearchInterrupted, and as `archsmith.workflow.training.train_model`.
    """
    if is_model_folder(task.output_dir):
        model = load_model_folder(task.output_dir)
    else:
        model = _Arm(task, on_progress).train()
    forget(task.output_dir)
    return model


def arm_spent(folder: Path, record: TrainingRecord) -> tuple[float, float]:
    """Seconds and training FLOPs of a finished arm, its tuning included."""
    tuned = read_tuned(folder)
    if tuned is None:
        return record.wall_seconds, record.flops
    return record.wall_seconds + tuned.all_seconds, record.flops + tuned.flops


def arm_details(folder: Path, record: TrainingRecord) -> dict[str, Any]:
    """What is told of a finished arm beside its scores.

    `last_readings_fell`: whether the last held-out reading before the cooldown was lower than the
    one before it; None with fewer than two. If not, it was trained beyond its optimum.
    """
    before = [bits_per_byte for _, _, bits_per_byte in record.curve[:-1]][-2:]
    fell = before[1] < before[0] if len(before) == 2 else None
    tuned = read_tuned(folder)
    return {
        "last_readings_fell": fell,
        **({} if tuned is None else {"tuning": tuned_details(tuned)}),
    }


def train_flops_per_token(architecture: Architecture) -> float:
    """Of training on windows of its whole context: three times the forward pass."""
    return 3.0 * architecture.flops_per_token(architecture.max_position_embeddings)


class _Text(NamedTuple):
    """What an arm learns from and is read on, in one vocabulary."""

    tokenizer: Tokenizer
    train: TokenFile
    held_out: TokenFile


class _Arm:
    """An arm under way."""

    def __init__(self, task: ArmTask, on_progress: Callable[[Progress], None]) -> None:
        self._task, self._on_progress = task, on_progress
        self._corpus = Corpus.open(task.corpus)
        self._tokenizer = Tokenizer.from_file(task.tokenizer)
        self._text = lru_cache(maxsize=1)(self._read)

    def train(self) -> TrainedModel:
        """Tune it if it is to be tuned, then train it to the end."""
        task = self._task
        start = self._tuned()
        tuned = read_tuned(task.output_dir)
        share = 0.0 if start.checkpoint is None or task.tuning is None else task.tuning.share
        seconds, text = task.max_seconds, task.train_bytes
        if seconds is not None and tuned is not None:
            seconds = max(seconds - tuned.all_seconds, 1.0)
        if task.max_flops is not None:
            left = task.max_flops - (0.0 if tuned is None else tuned.flops)
            text = max(self._bytes(start.architecture, left), task.least_bytes)
        return self._train(
            start.architecture,
            recipe=start.recipe,
            output_dir=task.output_dir,
            checkpoint=start.checkpoint,
            max_seconds=seconds,
            train_bytes=text,
            on_progress=lambda p: self._on_progress(moved(p, first=share, share=1.0 - share)),
        )

    def _tuned(self) -> Start:
        task = self._task
        budget = task.max_flops if task.max_seconds is None else task.max_seconds
        if task.tuning is None or budget is None:
            return Start(task.architecture, task.recipe, None)
        return tune(
            task.tuning,
            recipe=task.recipe,
            folder=task.output_dir,
            budget=budget,
            needed=self._needed,
            train=self._train_for,
            clock=CLOCKS[task.clock],
            on_progress=self._on_progress,
        )

    def _needed(self) -> list[float]:
        """Seconds or FLOPs of each shape for a run that tells something."""
        task = self._task
        assert task.tuning is not None
        found = []
        for shape in task.tuning.shapes:
            context = shape.max_position_embeddings
            tokens = least_updates(task.recipe) * task.recipe.batch_size(context) * context
            if task.max_seconds is None:
                found.append(tokens * train_flops_per_token(shape))
                continue
            speed = training_tokens_per_second(
                shape,
                recipe=task.recipe,
                num_threads=task.num_threads,
                seconds=_SPEED_SECONDS,
                clock=CLOCKS[task.clock],
            )
            found.append(tokens / speed)
        return found

    def _train_for(
        self, architecture: Architecture, *, amount: float, **options: Any
    ) -> TrainedModel:
        """A short run, for so many seconds or FLOPs."""
        in_flops = self._task.max_seconds is None
        return self._train(
            architecture,
            max_seconds=None if in_flops else amount,
            train_bytes=max(self._bytes(architecture, amount), 1) if in_flops else None,
            num_readings=1,
            **options,
        )

    def _train(self, architecture: Architecture, **options: Any) -> TrainedModel:
        task, text = self._task, self._text(architecture.vocab_size)
        return train_interruptibly(
            architecture,
            train_tokens=text.train,
            validation_tokens=text.held_out,
            tokenizer=text.tokenizer,
            protocol=task.protocol,
            seed=task.seed,
            num_threads=task.num_threads,
            clock=CLOCKS[task.clock],
            **options,
        )

    def _bytes(self, architecture: Architecture, flops: float) -> int:
        """Text that takes so many training FLOPs."""
        num_tokens = flops / train_flops_per_token(architecture)
        return round(num_tokens * self._text(architecture.vocab_size).train.bytes_per_token)

    def _read(self, vocab_size: int) -> _Text:
        task, own = self._task, self._tokenizer
        if own.vocab_size != vocab_size:
            own = own.prefix(vocab_size)
        train, held_out = (
            TokenFile.build(self._corpus, split, own, task.tokens_dir, num_threads=task.num_threads)
            for split in (Split.TRAIN, Split.SEARCH)
        )
        return _Text(own, train, held_out)

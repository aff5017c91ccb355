"""A trunk: training at a constant rate that can be stopped, saved, extended and cooled down.

Which windows an update sees depends on its number and the seed alone, so an interrupted run and an
uninterrupted one end in the same bits on the same machine.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from archsmith.architecture.tree import Architecture
from archsmith.data.loader import BatchOrder
from archsmith.data.token_file import TokenFile
from archsmith.device.training_choice import KernelChoice
from archsmith.errors import CheckpointError, ConfigError
from archsmith.model.transformer import Transformer, build, load_numpy
from archsmith.train import checkpoint
from archsmith.train.balancing import ExpertLoad
from archsmith.train.learner import Learner
from archsmith.train.precision import (
    choose_device,
    choose_dtype,
    choose_kernels,
    dtype_name,
    kernels_for,
)
from archsmith.train.recipe import Recipe
from archsmith.train.schedule import cooldown_factor, warmup_factor

_SMOOTHING = 0.98  # about the last 50 updates
_PROGRESS_STEPS = 10  # updates between two readings
_UNIGRAM_TOKENS = 2**20  # tokens from which the unigram level is counted


class Reading(NamedTuple):
    """One look at a run under way; totals include what was done before a resume."""

    step: int
    train_bytes: int
    train_seconds: float
    fraction_done: float
    bits_per_byte: float  # of training text, smoothed
    tokens_per_second: float  # of this run
    rate_factor: float
    expert_imbalance: float | None = None  # the worst layer's; None without experts


OnProgress = Callable[[Reading], None]
ShouldStop = Callable[[], bool]


class Trunk:
    """Weights, optimizer state and position in the data. `start` or `load` one.

    Attributes:
        architecture, recipe, seed, context_tokens: what is trained and how.
        step: updates done. train_seconds: spent on them, over all resumed parts.
        branch_steps, branch_seconds: spent on cooldowns, which leave the trunk unchanged.
        dtype, device: what the model computes in and on.
        kernels: how the device computes it; a trunk keeps what it was started with.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        recipe: Recipe,
        seed: int,
        tokens: TokenFile,
        context_tokens: int,
        device: torch.device,
        dtype: torch.dtype,
        kernels: KernelChoice,
        clock: Callable[[], float],
    ) -> None:
        _check_fit(architecture, tokens, context_tokens)
        self.architecture, self.recipe, self.seed = architecture, recipe, seed
        self.context_tokens = context_tokens
        self.device, self.dtype, self.kernels = device, dtype, kernels
        self.step = self.branch_steps = 0
        self.train_seconds = self.branch_seconds = 0.0
        self._tokens, self._clock = tokens, clock
        self._smoothed = 0.0  # nats per token, not yet corrected for the start at zero
        self._expert_shares: list[torch.Tensor] = []
        self._unigram_nats = _unigram_nats(tokens)
        self._order = BatchOrder(
            tokens,
            context_tokens=context_tokens,
            batch_size=recipe.batch_size(context_tokens),
            seed=seed,
        )
        self._learner = Learner(
            architecture, recipe=recipe, seed=seed, device=device, dtype=dtype, kernels=kernels
        )

    @classmethod
    def start(
        cls,
        architecture: Architecture,
        *,
        recipe: Recipe,
        seed: int,
        tokens: TokenFile,
        context_tokens: int | None = None,
        device: str = "cpu",
        clock: Callable[[], float] = time.perf_counter,
        seconds: float | None = None,
    ) -> "Trunk":
        """A trunk before its first update.

        Args:
            context_tokens: length of training windows; the architecture's context if None.
            device: `cpu`, `cuda` or `auto`.
            seconds: how long it will be trained, where that is known: see `kernels_for`.

        Raises:
            ConfigError: the token file does not fit, or the device profile is of another machine.
            OutOfMemoryError: too large.
        """
        chosen = choose_device(device)
        dtype = choose_dtype(recipe.dtype, chosen)
        return cls(
            architecture,
            recipe=recipe,
            seed=seed,
            tokens=tokens,
            context_tokens=context_tokens or architecture.max_position_embeddings,
            device=chosen,
            dtype=dtype,
            kernels=kernels_for(choose_kernels(dtype, chosen), chosen, seconds),
            clock=clock,
        )

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        tokens: TokenFile,
        device: str | None = None,
        clock: Callable[[], float] = time.perf_counter,
        seconds: float | None = None,
    ) -> "Trunk":
        """Continue from a checkpoint folder, on the device it was on unless another is named.

        It computes as it did before, unless the `seconds` it will be trained on, where they are
        known, pay for compiling: see `kernels_for`.

        Raises CheckpointError where it is missing, damaged or of other text.
        """
        manifest = checkpoint.read_manifest(path)
        _check_same_text(manifest, tokens, path)
        chosen = choose_device(device or manifest.device)
        trunk = cls(
            manifest.architecture,
            recipe=manifest.recipe,
            seed=manifest.seed,
            tokens=tokens,
            context_tokens=manifest.context_tokens,
            device=chosen,
            dtype=choose_dtype(manifest.dtype, chosen),
            kernels=kernels_for(manifest.kernels, chosen, seconds),
            clock=clock,
        )
        for kind, live in trunk._tensors().items():
            checkpoint.restore(live, checkpoint.read_tensors(path, manifest.files, kind), path)
        trunk._learner.publish()
        trunk.step, trunk.branch_steps = manifest.step, manifest.branch_steps
        trunk.train_seconds, trunk.branch_seconds = manifest.train_seconds, manifest.branch_seconds
        trunk._smoothed = manifest.smoothed_nats
        return trunk

    @property
    def train_tokens(self) -> int:
        """Tokens predicted so far."""
        return self.step * self._order.batch_tokens

    @property
    def train_bytes(self) -> int:
        """Bytes of text those tokens stand for."""
        return int(self.step * self._order.batch_bytes)

    @property
    def flops(self) -> float:
        """Spent on the trunk's updates: three times the forward pass; the optimizer left out."""
        return self.step * self._step_flops

    @property
    def branch_flops(self) -> float:
        """Spent on cooldowns."""
        return self.branch_steps * self._step_flops

    @property
    def bits_per_byte(self) -> float:
        """Of the training text, smoothed over about 50 updates; infinite before the first."""
        return self._bits_per_byte(self._smoothed, self.step)

    @property
    def expert_loads(self) -> tuple[ExpertLoad, ...]:
        """Of every layer with experts, smoothed over about 50 updates since start or resume."""
        return tuple(ExpertLoad(tuple(shares.tolist())) for shares in self._expert_shares)

    @property
    def stuck(self) -> bool:
        """Whether the model still does no better than the frequencies of single tokens."""
        if self.step < self.recipe.stuck_after_steps:
            return False
        return self._smoothed / (1 - _SMOOTHING**self.step) >= self._unigram_nats

    def run(
        self,
        train_bytes: int | None,
        *,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
        max_seconds: float | None = None,
    ) -> bool:
        """Train on, at the constant rate, until `train_bytes` in all or `max_seconds` from now.

        Returns whether the end was reached: False if `should_stop` asked first, or the time was up
        before the bytes.

        Raises:
            DivergedError: a loss or gradient is not finite; the weights are those before it.
            OutOfMemoryError: an update needed more memory than there is.
        """
        if train_bytes is None and max_seconds is None and should_stop is None:
            raise ConfigError("a run needs an end: train_bytes, max_seconds or should_stop")
        first_step, spent = self.step, 0.0
        while train_bytes is None or self.train_bytes < train_bytes:
            if max_seconds is not None and spent >= max_seconds:
                return train_bytes is None
            if should_stop is not None and should_stop():
                return False
            factor = warmup_factor(self.step, warmup_steps=self.recipe.warmup_steps)
            nats, seconds = self._timed_update(self.step, factor)
            spent += seconds
            self.train_seconds += seconds
            self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * nats
            self.step += 1
            if on_progress is not None and self.step % _PROGRESS_STEPS == 0:
                shares = [self.train_bytes / train_bytes if train_bytes else 0.0]
                shares.append(spent / max_seconds if max_seconds else 0.0)
                speed = (self.step - first_step) / spent
                on_progress(self._reading(0, 0.0, self._smoothed, max(shares), speed, factor))
        return True

    def is_beyond(self, train_bytes: int) -> bool:
        """Whether it has been trained further than `run(train_bytes)` would go."""
        return int((self.step - 1) * self._order.batch_bytes) >= train_bytes

    def cooldown(
        self,
        *,
        fraction: float | None = None,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Transformer | None:
        """The model after a cooldown from here, float32; the trunk stays as it is.

        Args:
            fraction: updates of the cooldown, as a share of the trunk's; the recipe's if None.

        Returns:
            The finished model, or None if `should_stop` asked to leave it.

        Raises:
            DivergedError, OutOfMemoryError: as `run`.
        """
        num_steps = self.cooldown_steps(fraction)
        smoothed, spent = self._smoothed, 0.0
        with self._learner.branch():
            for done in range(num_steps):
                if should_stop is not None and should_stop():
                    return None
                factor = cooldown_factor(
                    done, num_steps=num_steps, shape=self.recipe.cooldown_shape
                )
                nats, seconds = self._timed_update(self.step + done, factor)
                spent += seconds
                self.branch_seconds += seconds
                self.branch_steps += 1
                smoothed = _SMOOTHING * smoothed + (1 - _SMOOTHING) * nats
                if on_progress is not None and (done + 1) % _PROGRESS_STEPS == 0:
                    share, speed = (done + 1) / num_steps, (done + 1) / spent
                    on_progress(self._reading(done + 1, spent, smoothed, share, speed, factor))
            return self.model()

    def cooldown_steps(self, fraction: float | None = None) -> int:
        """Updates of a cooldown from here."""
        fraction = self.recipe.cooldown_fraction if fraction is None else fraction
        return max(1, round(fraction * self.step))

    def model(self) -> Transformer:
        """A float32 copy of the model as it is now, on the trunk's device."""
        return self._learner.model()

    def save(self, path: Path) -> None:
        """Write a checkpoint folder atomically, replacing one there. Raises ConfigError."""
        manifest = checkpoint.Manifest(
            architecture=self.architecture,
            recipe=self.recipe,
            seed=self.seed,
            context_tokens=self.context_tokens,
            step=self.step,
            train_seconds=self.train_seconds,
            branch_seconds=self.branch_seconds,
            branch_steps=self.branch_steps,
            smoothed_nats=self._smoothed,
            tokenizer_hash=self._tokens.tokenizer_hash,
            corpus_hash=self._tokens.corpus_hash,
            num_tokens=self._tokens.num_tokens,
            dtype=dtype_name(self.dtype),
            device=str(self.device),
            kernels=self.kernels,
            num_threads=torch.get_num_threads(),
            torch_version=torch.__version__,
        )
        checkpoint.write_checkpoint(path, manifest, self._tensors())

    def _tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        return {
            checkpoint.WEIGHTS: self._learner.masters(),
            checkpoint.OPTIMIZER: self._learner.optimizer_state(),
        }

    def _timed_update(self, number: int, factor: float) -> tuple[float, float]:
        """Loss in nats per token, and seconds."""
        started = self._clock()
        nats = self._learner.update(self._order.batch(number), number=number, factor=factor)
        self._note_expert_shares(self._learner.expert_shares)
        return nats, self._clock() - started

    def _note_expert_shares(self, shares: list[torch.Tensor]) -> None:
        if not self._expert_shares:
            self._expert_shares = shares
            return
        for smoothed, latest in zip(self._expert_shares, shares, strict=True):
            smoothed.lerp_(latest, 1 - _SMOOTHING)

    def _reading(
        self,
        branch_steps: int,
        branch_seconds: float,
        smoothed: float,
        fraction_done: float,
        steps_per_second: float,
        rate_factor: float,
    ) -> Reading:
        step = self.step + branch_steps
        loads = self.expert_loads
        return Reading(
            step=step,
            train_bytes=int(step * self._order.batch_bytes),
            train_seconds=self.train_seconds + branch_seconds,
            fraction_done=min(fraction_done, 1.0),
            bits_per_byte=self._bits_per_byte(smoothed, step),
            tokens_per_second=steps_per_second * self._order.batch_tokens,
            rate_factor=rate_factor,
            expert_imbalance=max((load.imbalance for load in loads), default=None),
        )

    @property
    def _step_flops(self) -> float:
        forward = self.architecture.flops_per_token(self.context_tokens)
        return 3.0 * forward * self._order.batch_tokens

    def _bits_per_byte(self, smoothed: float, step: int) -> float:
        if step == 0:
            return math.inf
        nats = smoothed / (1 - _SMOOTHING**step)
        return nats / self._tokens.bytes_per_token / math.log(2)


def load_model(path: Path, *, device: str = "cpu") -> Transformer:
    """The float32 model of a trunk's checkpoint, without its data. Raises CheckpointError."""
    manifest = checkpoint.read_manifest(path)
    model = build(manifest.architecture, seed=None, device=device)
    load_numpy(model, checkpoint.read_tensors(path, manifest.files, checkpoint.WEIGHTS))
    return model


def _unigram_nats(tokens: TokenFile) -> float:
    """Entropy of single tokens: what is reached by counting alone."""
    counts = np.bincount(tokens.tokens[:_UNIGRAM_TOKENS])
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _check_fit(architecture: Architecture, tokens: TokenFile, context_tokens: int) -> None:
    if len(tokens.token_bytes) > architecture.vocab_size:
        raise ConfigError(
            f"the token file has a vocabulary of {len(tokens.token_bytes)} and the architecture "
            f"one of {architecture.vocab_size}; encode the text with the tokenizer's prefix of "
            f"{architecture.vocab_size}"
        )
    if context_tokens > architecture.max_position_embeddings:
        raise ConfigError(
            f"context_tokens is {context_tokens}, above the architecture's context of "
            f"{architecture.max_position_embeddings} tokens"
        )


def _check_same_text(manifest: checkpoint.Manifest, tokens: TokenFile, path: Path) -> None:
    given = {
        "tokenizer": (manifest.tokenizer_hash, tokens.tokenizer_hash),
        "corpus": (manifest.corpus_hash, tokens.corpus_hash),
        "number of tokens": (manifest.num_tokens, tokens.num_tokens),
    }
    for what, (trained, present) in given.items():
        if trained != present:
            raise CheckpointError(
                f"{path}: trained on another {what} ({trained}, now {present}); "
                "start again, or give the text it was trained on"
            )

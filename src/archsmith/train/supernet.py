"""One training of shared weights, which can be stopped, saved and gone on with, to the same bits.

Its length is known beforehand, so the rate warms up, stays, and comes down again at the end. A
finished one is a folder that every candidate of a search is scored from.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from archsmith.architecture.elastic import Elastic
from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, content_hash
from archsmith.data.loader import BatchOrder
from archsmith.data.storage import make_folder, remove_leftovers, write_text
from archsmith.data.token_file import TokenFile
from archsmith.device.training_choice import KernelChoice, NumberFormat
from archsmith.errors import CheckpointError
from archsmith.model.elastic import copy_of, require_inside
from archsmith.model.transformer import Transformer, build, load_numpy
from archsmith.train.checkpoint import (
    MANIFEST,
    OPTIMIZER,
    WEIGHTS,
    TensorFile,
    read_manifest_as,
    read_tensors,
    restore,
    write_tensors,
)
from archsmith.train.precision import choose_device, choose_dtype, dtype_name
from archsmith.train.recipe import Recipe
from archsmith.train.schedule import cooldown_factor, warmup_factor
from archsmith.train.shared_weights import SharedWeights
from archsmith.train.supernet_methods import METHODS, Parts
from archsmith.train.supernet_plan import SupernetPlan

METHOD = "method"
_PROGRESS_STEPS = 10  # updates between two readings
_SMOOTHING = 0.98


class SupernetManifest(Spec):
    """Everything of a supernet that is not a tensor.

    Attributes:
        step, num_steps: updates done, and in all.
        logits: of `enas` and `darts`, by `DIMENSION=OPTION`; of `enas` by several at once, too,
            joined by commas: logarithms of probabilities.
    """

    format: Literal["archsmith-supernet"] = "archsmith-supernet"
    version: Literal[1] = 1
    largest: Architecture
    members: str
    num_members: PositiveInt
    plan: SupernetPlan
    recipe: Recipe
    seed: int
    context_tokens: PositiveInt
    step: NonNegativeInt
    num_steps: PositiveInt
    train_bytes: NonNegativeInt
    train_seconds: NonNegativeFloat
    flops: NonNegativeFloat
    smoothed_nats: NonNegativeFloat
    logits: Mapping[str, float] = {}
    tokenizer_hash: str
    corpus_hash: str
    num_tokens: PositiveInt
    dtype: NumberFormat
    kernels: KernelChoice
    device: str
    num_threads: PositiveInt
    torch_version: str
    files: Mapping[str, TensorFile] = {}

    @property
    def finished(self) -> bool:
        """Whether all updates are done."""
        return self.step >= self.num_steps


class SupernetReading(Spec):
    """One look at a training under way."""

    step: int
    num_steps: int
    train_bytes: int
    train_seconds: float
    bits_per_byte: float  # of training text, smoothed; of the networks the method trains


class Supernet:
    """Shared weights in training: a new one, or what an earlier process saved by `resume`.

    Attributes:
        step, num_steps: updates done, and in all.
        train_seconds, flops: spent on them, over all resumed parts.
    """

    def __init__(
        self,
        elastic: Elastic,
        *,
        plan: SupernetPlan,
        recipe: Recipe,
        seed: int,
        tokens: TokenFile,
        held_out: TokenFile,
        context_tokens: int | None = None,
        device: str = "cpu",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """A supernet before its first update.

        Args:
            tokens, held_out: text for the weights, and text that policies learn from.
            context_tokens: length of training windows; the architecture's context if None.
            device: `cpu`, `cuda` or `auto`.

        Raises:
            ConfigError: the method cannot train these networks. CorpusError: too little text.
            OutOfMemoryError: too large.
        """
        self.elastic, self.plan, self.recipe, self.seed = elastic, plan, recipe, seed
        self.context_tokens = context_tokens or elastic.largest.max_position_embeddings
        self.device = choose_device(device)
        self.dtype = choose_dtype(recipe.dtype, self.device)
        self.step, self.train_seconds, self.flops, self._smoothed = 0, 0.0, 0.0, 0.0
        self._tokens, self._clock = tokens, clock
        batch_size = recipe.batch_size(self.context_tokens)
        self._order, held_out_order = (
            BatchOrder(file, context_tokens=self.context_tokens, batch_size=batch_size, seed=seed)
            for file in (tokens, held_out)
        )
        self.num_steps = math.ceil(plan.train_bytes / self._order.batch_bytes)
        share = recipe.cooldown_fraction / (1 + recipe.cooldown_fraction)
        self._cooldown_steps = round(share * self.num_steps)
        self.shared = SharedWeights(
            elastic.largest, recipe=recipe, seed=seed, device=self.device, dtype=self.dtype
        )
        self.method = METHODS[plan.method](
            Parts(self.shared, elastic, self._order, held_out_order, plan, seed)
        )

    @property
    def train_bytes(self) -> int:
        """Bytes of text seen so far."""
        return int(self.step * self._order.batch_bytes)

    @property
    def finished(self) -> bool:
        """Whether all updates are done."""
        return self.step >= self.num_steps

    def run(
        self,
        *,
        on_progress: Callable[[SupernetReading], None] = lambda reading: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train to the end; False if `should_stop` asked to leave it before.

        Raises:
            DivergedError: a loss or gradient is not finite; the weights are those before it.
            OutOfMemoryError: an update needed more memory than there is.
        """
        while not self.finished:
            if should_stop():
                return False
            started = self._clock()
            done = self.method.update(
                self.step, self._factor(), warm=self.step >= self.recipe.warmup_steps
            )
            self.train_seconds += self._clock() - started
            self.flops += done.flops
            self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * done.nats
            self.step += 1
            if self.step % _PROGRESS_STEPS == 0 or self.finished:
                on_progress(self._reading())
        return True

    def save(self, folder: Path) -> None:
        """Write the folder, or replace what is there, atomically. Raises ConfigError."""
        make_folder(folder)
        remove_leftovers(folder)
        tensors = self._tensors()
        files = {kind: write_tensors(folder, kind, found) for kind, found in tensors.items()}
        manifest = SupernetManifest(
            **self._identity(),
            step=self.step,
            num_steps=self.num_steps,
            train_bytes=self.train_bytes,
            train_seconds=self.train_seconds,
            flops=self.flops,
            smoothed_nats=self._smoothed,
            logits=self.method.logits(),
            num_members=len(self.elastic.members),
            device=str(self.device),
            num_threads=torch.get_num_threads(),
            torch_version=torch.__version__,
            files=files,
        )
        write_text(folder / MANIFEST, manifest.model_dump_json(indent=1))
        current = {file.name for file in files.values()}
        for old in folder.glob("*.safetensors"):
            if old.name not in current and not old.name.startswith("."):
                old.unlink(missing_ok=True)

    def resume(self, folder: Path) -> None:
        """Go on from a saved folder. Raises CheckpointError where it is damaged or another's."""
        manifest = read_supernet(folder)
        for name, own in self._identity().items():
            if getattr(manifest, name) != own:
                raise CheckpointError(
                    f"{folder}: a supernet with another {name.replace('_', ' ')}; "
                    "choose another folder, or remove this one"
                )
        live = {kind: tensors for kind, tensors in self._tensors().items() if tensors}
        # all are read, and tried on tensors without content, before one is changed
        saved = {kind: read_tensors(folder, manifest.files, kind, what="supernet") for kind in live}
        for kind, tensors in live.items():
            hollow = {name: torch.empty_like(t, device="meta") for name, t in tensors.items()}
            restore(hollow, saved[kind], folder)
        for kind, tensors in live.items():
            restore(tensors, saved[kind], folder)
        self.shared.publish()
        self.step, self.train_seconds = manifest.step, manifest.train_seconds
        self.flops, self._smoothed = manifest.flops, manifest.smoothed_nats

    def _identity(self) -> dict[str, Any]:
        elastic = self.elastic
        members = {"dimensions": elastic.dimensions, "sizes": elastic.sizes}
        return {
            "largest": elastic.largest,
            "members": content_hash(json.dumps(members)),
            "plan": self.plan,
            "recipe": self.recipe,
            "seed": self.seed,
            "context_tokens": self.context_tokens,
            "dtype": dtype_name(self.dtype),
            "kernels": self.shared.kernels,
            "tokenizer_hash": self._tokens.tokenizer_hash,
            "corpus_hash": self._tokens.corpus_hash,
            "num_tokens": self._tokens.num_tokens,
        }

    def _tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        return {
            WEIGHTS: self.shared.masters(),
            OPTIMIZER: self.shared.optimizer_state(),
            METHOD: self.method.state(),
        }

    def _factor(self) -> float:
        done = self.step - (self.num_steps - self._cooldown_steps)
        if done >= 0:
            return cooldown_factor(
                done, num_steps=self._cooldown_steps, shape=self.recipe.cooldown_shape
            )
        return warmup_factor(self.step, warmup_steps=self.recipe.warmup_steps)

    def _reading(self) -> SupernetReading:
        nats = self._smoothed / (1 - _SMOOTHING**self.step)
        return SupernetReading(
            step=self.step,
            num_steps=self.num_steps,
            train_bytes=self.train_bytes,
            train_seconds=self.train_seconds,
            bits_per_byte=nats / self._tokens.bytes_per_token / math.log(2),
        )


def read_supernet(folder: Path) -> SupernetManifest:
    """The manifest of a saved supernet. Raises CheckpointError."""
    return read_manifest_as(SupernetManifest, folder, what="supernet", remedy="remove the folder")


def inherit(folder: Path, architecture: Architecture) -> Transformer:
    """A network with its share of a saved supernet's weights, float32, on the CPU.

    Raises:
        CheckpointError: there is no whole supernet. ConfigError: the network is no part of it.
    """
    manifest = read_supernet(folder)
    require_inside(manifest.largest, architecture)
    return copy_of(_whole(folder, manifest.files[WEIGHTS].sha256), architecture)


@lru_cache(maxsize=2)  # candidates follow each other in one process
def _whole(folder: Path, sha256: str) -> Transformer:
    manifest = read_supernet(folder)
    model = build(manifest.largest, seed=None)
    load_numpy(model, read_tensors(folder, manifest.files, WEIGHTS, what="supernet"))
    return model

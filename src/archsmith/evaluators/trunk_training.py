"""Train a candidate's trunk up to a rung and score it on held-out text.

The trunk's checkpoint is what the next rung continues. A job that was killed picks up the last
checkpoint in its own folder; one that is asked to stop saves and says it is not complete.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt

from archsmith.architecture.tree import Architecture
from archsmith.config import validate
from archsmith.data.protocol import Score, ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.errors import ArchsmithError, CheckpointError, ConfigError
from archsmith.evaluators._encoded_text import encoded_vocab_sizes, token_files
from archsmith.evaluators.base import Evaluator, Progress, Request, Result
from archsmith.export.roundtrip import quantize_dequantize
from archsmith.model.transformer import Transformer, load_numpy, to_numpy
from archsmith.train import checkpoint
from archsmith.train.balancing import expert_details
from archsmith.train.clocks import CLOCKS
from archsmith.train.precision import dtype_name
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.trunk import Reading, Trunk
from archsmith.train.warm_up import first_updates
from archsmith.trial import Rung

TRUNK_FOLDER = "trunk"
_CURVE_GROWTH = 1.03  # bytes between two kept readings, as a ratio


class TrunkTraining(Evaluator):
    """Bits per byte of a trunk, or of its cooldown, on the search-validation split.

    Options of a request: `cooldown` (score a cooled-down branch and keep its weights), and any
    setting of the recipe.

    Attributes:
        corpus: folder of a prepared corpus.
        tokenizer: its largest tokenizer; an architecture uses the prefix of its vocabulary size.
        token_files: folder the encoded text is kept in, shared by all jobs.
        recipe: how every candidate is trained.
        protocol: how every candidate is scored; `max_bytes` bounds what a rung's score costs.
        quantized: score the weights as the file will hold them. The score before quantization
            ranks the one after it only at a Spearman correlation of about 0.88.
        context_bytes: text in a training window; None fills the architecture's context.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        checkpoint_seconds: training time between two checkpoints of a running job.
        clock: what training seconds are measured with: the `wall`, or the process' `cpu` time,
            which the neighbours on a shared machine stretch less (one thread only).
    """

    type: Literal["trunk_training"] = "trunk_training"
    corpus: Path
    tokenizer: Path
    token_files: Path
    recipe: Recipe = Recipe()
    protocol: ScoringProtocol = ScoringProtocol(max_bytes=2**17)
    quantized: bool = True
    context_bytes: PositiveInt | None = None
    device: Literal["cpu", "cuda", "auto"] = "auto"
    checkpoint_seconds: PositiveFloat = 60.0
    clock: Literal["wall", "cpu"] = "wall"

    def metrics(self) -> tuple[str, ...]:
        """What every complete result holds."""
        return ("bits_per_byte", "train_seconds")

    def evaluate(self, request: Request) -> Result:
        """Run one job. Raises EvaluationError, CheckpointError, ConfigError."""
        if request.rung is None:
            raise ConfigError("trunk_training needs a rung: how many bytes of text to train on")
        torch.set_num_threads(request.num_threads)
        cooldown, recipe = _read_options(self.recipe, request.options)
        train, search = self._token_files(request.architecture, num_threads=request.num_threads)
        trunk = self._open_trunk(request, request.rung, recipe, train)
        job = _Job(trunk, request, cooled=cooldown, checkpoint_seconds=self.checkpoint_seconds)
        reached = trunk.run(
            request.rung.train_bytes, on_progress=job.report, should_stop=request.should_stop
        )
        trunk.save(job.folder)
        if not reached:
            return job.unfinished()
        model: Transformer | None = trunk.model()
        if cooldown:
            model = trunk.cooldown(on_progress=job.report_branch, should_stop=request.should_stop)
            trunk.save(job.folder)  # what the branch cost belongs to the trunk's record
        if model is None:
            return job.unfinished()
        started = time.perf_counter()
        weights = None
        if cooldown:
            tensors = dict(model.named_parameters())
            weights = checkpoint.write_tensors(request.checkpoint_dir, "cooled", tensors)
        if self.quantized:
            load_numpy(model, quantize_dequantize(to_numpy(model), request.architecture))
        score = score_model(model, search, self.protocol)
        return job.finished(
            score,
            weights=None if weights is None else request.checkpoint_dir / weights.name,
            score_seconds=time.perf_counter() - started,
        )

    def warm_up(self, *, num_threads: int) -> None:
        """Take the first updates, and open the text that is encoded already."""
        first_updates(self.recipe)
        text = (self.corpus, self.tokenizer, self.token_files)
        with suppress(ArchsmithError):  # whatever is wrong with the text, a job will say it
            for vocab_size in encoded_vocab_sizes(*text):
                token_files(*text, vocab_size, num_threads=num_threads)

    def _token_files(
        self, architecture: Architecture, *, num_threads: int
    ) -> tuple[TokenFile, TokenFile]:
        """The training and search-validation text in the architecture's vocabulary."""
        return token_files(
            self.corpus,
            self.tokenizer,
            self.token_files,
            architecture.vocab_size,
            num_threads=num_threads,
        )

    def _open_trunk(self, request: Request, rung: Rung, recipe: Recipe, tokens: TokenFile) -> Trunk:
        """This job's own last checkpoint, else the one to continue, else a new trunk."""
        own = request.checkpoint_dir / TRUNK_FOLDER
        if own != request.checkpoint_in and (own / checkpoint.MANIFEST).exists():
            try:
                trunk = self._load(own, request, recipe, tokens)
                if not trunk.is_beyond(rung.train_bytes):
                    return trunk
            except CheckpointError:
                pass  # a killed job's leftover is a convenience; the request says what counts
        if request.checkpoint_in is not None:
            return self._load(request.checkpoint_in, request, recipe, tokens)
        architecture = request.architecture
        context_tokens = architecture.max_position_embeddings
        if self.context_bytes is not None:
            wanted = round(self.context_bytes / tokens.bytes_per_token)
            context_tokens = max(1, min(wanted, context_tokens))
        return Trunk.start(
            architecture,
            recipe=recipe,
            seed=request.seed,
            tokens=tokens,
            context_tokens=context_tokens,
            device=self.device,
            clock=CLOCKS[self.clock],
        )

    def _load(self, path: Path, request: Request, recipe: Recipe, tokens: TokenFile) -> Trunk:
        trunk = Trunk.load(path, tokens=tokens, clock=CLOCKS[self.clock])
        given = {
            "architecture": (trunk.architecture.network_hash, request.architecture.network_hash),
            "recipe": (trunk.recipe, recipe),
            "seed": (trunk.seed, request.seed),
        }
        for what, (saved, wanted) in given.items():
            if saved != wanted:
                raise CheckpointError(
                    f"{path}: belongs to another {what} than the job that would continue it; "
                    "start the job without it"
                )
        return trunk


class _Job:
    """Readings, checkpoints and the result of one request."""

    def __init__(
        self, trunk: Trunk, request: Request, *, cooled: bool, checkpoint_seconds: float
    ) -> None:
        self.folder = request.checkpoint_dir / TRUNK_FOLDER
        self._trunk, self._request, self._cooled = trunk, request, cooled
        self._checkpoint_seconds = checkpoint_seconds
        self._last_saved = trunk.train_seconds
        self._branch_seconds_before = trunk.branch_seconds
        self._curve: list[tuple[int, float, str, float]] = []
        # the trunk's share of all updates, where a cooldown follows
        self._trunk_share = 1 / (1 + trunk.recipe.cooldown_fraction) if cooled else 1.0

    def report(self, reading: Reading) -> None:
        """A reading of the trunk."""
        self._publish(reading, reading.fraction_done * self._trunk_share)
        if reading.train_seconds - self._last_saved >= self._checkpoint_seconds:
            self._trunk.save(self.folder)
            self._last_saved = reading.train_seconds

    def report_branch(self, reading: Reading) -> None:
        """A reading of the cooldown."""
        share = self._trunk_share
        self._publish(reading, share + (1 - share) * reading.fraction_done)

    def unfinished(self) -> Result:
        """What there is when the job was asked to stop."""
        return Result(
            metrics={},
            curve=tuple(self._curve),
            checkpoint=self.folder,
            complete=False,
            details=self._details(),
        )

    def finished(self, score: Score, *, weights: Path | None, score_seconds: float) -> Result:
        """The result with its score."""
        trunk = self._trunk
        branch_seconds = trunk.branch_seconds - self._branch_seconds_before
        seconds = trunk.train_seconds + branch_seconds
        last = (trunk.train_bytes, seconds, "bits_per_byte", score.bits_per_byte)
        details = {
            "score": score.model_dump(mode="json"),
            "score_seconds": score_seconds,
            "cooled_down": self._cooled,
        }
        if weights is not None:
            details["weights"] = str(weights)
        return Result(
            metrics={"bits_per_byte": score.bits_per_byte, "train_seconds": seconds},
            curve=(*self._curve, last),
            checkpoint=self.folder,
            details={**self._details(), **details},
        )

    def _publish(self, reading: Reading, fraction_done: float) -> None:
        if not self._curve or reading.train_bytes >= self._curve[-1][0] * _CURVE_GROWTH:
            self._curve.append(
                (
                    reading.train_bytes,
                    reading.train_seconds,
                    "train_bits_per_byte",
                    reading.bits_per_byte,
                )
            )
        self._request.on_progress(
            Progress(
                step=reading.step,
                train_bytes=reading.train_bytes,
                fraction_done=fraction_done,
                metrics={
                    "train_bits_per_byte": reading.bits_per_byte,
                    "tokens_per_second": reading.tokens_per_second,
                    "train_seconds": reading.train_seconds,
                },
            )
        )

    def _details(self) -> dict[str, Any]:
        trunk = self._trunk
        return {
            "step": trunk.step,
            "train_tokens": trunk.train_tokens,
            "train_bytes": trunk.train_bytes,
            "tokens_per_second": trunk.train_tokens / max(trunk.train_seconds, 1e-9),
            "trunk_seconds": trunk.train_seconds,
            "branch_seconds": trunk.branch_seconds,
            "branch_steps": trunk.branch_steps,
            "flops": trunk.flops,
            "branch_flops": trunk.branch_flops,
            "train_bits_per_byte": trunk.bits_per_byte if trunk.step else None,
            "stuck": trunk.stuck,
            "learning_rate": trunk.recipe.learning_rate,
            "recipe": trunk.recipe.model_dump(mode="json"),
            "context_tokens": trunk.context_tokens,
            "dtype": dtype_name(trunk.dtype),
            "device": str(trunk.device),
            "kernels": trunk.kernels.model_dump(mode="json"),
            **expert_details(trunk.expert_loads),
            "num_threads": self._request.num_threads,
        }


def _read_options(recipe: Recipe, options: Mapping[str, Any]) -> tuple[bool, Recipe]:
    """Whether to cool down, and the recipe with what the request changes."""
    changes = {name: value for name, value in options.items() if name != "cooldown"}
    cooldown = options.get("cooldown", False)
    if not isinstance(cooldown, bool):
        raise ConfigError(f"options.cooldown: true or false is needed (given: {cooldown!r})")
    base = recipe.model_dump()
    if changes.get("optimizer", recipe.optimizer) != recipe.optimizer:
        # the rates of one optimizer mean nothing to another
        del base["learning_rate"], base["weight_decay"]
    return cooldown, validate(Recipe, {**base, **changes}, source="options")


PART = TrunkTraining

"""Score candidates with weights inherited from a supernet, which is trained once for all of them.

The first job trains the shared weights into a folder; others wait for it. From then on a score
costs about a second. What is trained further - by a higher rung, by `Study.extend` - is trained
from scratch: inherited weights rank networks, they are no start for one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from archsmith.architecture.elastic import Elastic
from archsmith.architecture.tree import Architecture
from archsmith.config import content_hash
from archsmith.cost.base import CostContext, static_metrics
from archsmith.data.storage import make_folder, write_text
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import CheckpointError
from archsmith.evaluators.base import Evaluator, Progress, Request, Result
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.export.layout import prefix_num_bytes
from archsmith.export.roundtrip import quantize_dequantize
from archsmith.model.elastic import require_inside
from archsmith.model.transformer import load_numpy, to_numpy
from archsmith.space.elastic import elastic
from archsmith.space.presets import SpaceConfig
from archsmith.train.checkpoint import MANIFEST
from archsmith.train.clocks import CLOCKS
from archsmith.train.precision import choose_device
from archsmith.train.scoring import score_model
from archsmith.train.supernet import (
    Supernet,
    SupernetManifest,
    SupernetReading,
    inherit,
    read_supernet,
)
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.trial import Limit

LOGIT = "logit:"  # of `logit:DIMENSION=OPTION`, the metrics that say what a policy has learned
_MARK = "inherited.json"  # the checkpoint of a score: nothing to train on from
_PAYER = "trained-by"  # of a supernet's folder: the job that its FLOPs are entered for
_PAUSE_SECONDS, _SIGN_SECONDS = 0.2, 5.0


class SharedWeightScoring(Evaluator):
    """Bits per byte with inherited weights at the first rung; higher rungs train from scratch.

    The first rung's bytes say nothing here: all of its candidates share `plan.train_bytes`. With
    the methods `enas` and `darts` every score carries the policy as metrics
    `logit:DIMENSION=OPTION`, which the strategies of these names read from the history.

    Attributes:
        folder: where supernets are kept, one per settings and seed, shared by all jobs.
        space: the networks that share weights: one family, one vocabulary, one head size.
        limits: networks that break one by exact cost models take no part.
        plan: how the shared weights are trained.
        trunk: text, recipe and protocol of everything, and how finalists are trained.
    """

    type: Literal["supernet"] = "supernet"
    folder: Path
    space: SpaceConfig
    limits: tuple[Limit, ...] = ()
    plan: SupernetPlan
    trunk: TrunkTraining

    def metrics(self) -> tuple[str, ...]:
        """What every complete result holds."""
        return ("bits_per_byte",)

    def evaluate(self, request: Request) -> Result:
        """Run one job. Raises EvaluationError, CheckpointError, ConfigError, InfeasibleError."""
        given = request.checkpoint_in
        rung = 0 if request.rung is None else request.rung.index
        if given is None and rung == 0:
            return self._score(request)
        # a mark is no trunk: begin one
        begun = None if given is None or given.name == _MARK else given
        found = self.trunk.evaluate(Request(**{**vars(request), "checkpoint_in": begun}))
        # a job that goes on from what itself began was begun from scratch
        fresh = begun is None or begun.is_relative_to(request.checkpoint_dir)
        return replace(found, details={**found.details, "from_scratch": fresh})

    def warm_up(self, *, num_threads: int) -> None:
        """As the trainings from scratch that may follow."""
        self.trunk.warm_up(num_threads=num_threads)

    def begin(self, *, seed: int, num_threads: int) -> Supernet:
        """The supernet before its first update. Raises ConfigError, as `Supernet` does."""
        torch.set_num_threads(num_threads)
        parts = networks(self)
        tokens, search = self.trunk._token_files(parts.largest, num_threads=num_threads)
        return self._begin(parts, tokens, search, seed=seed)

    def _score(self, request: Request) -> Result:
        torch.set_num_threads(request.num_threads)
        parts = networks(self)
        require_inside(parts.largest, request.architecture)
        tokens, search = self.trunk._token_files(parts.largest, num_threads=request.num_threads)
        home = self.folder / self._name(tokens, request.seed)
        manifest = self._trained(home, request, parts, tokens, search)
        if manifest is None:
            return Result(metrics={}, complete=False)
        started = time.perf_counter()
        model = inherit(home, request.architecture)
        if self.trunk.quantized:
            load_numpy(model, quantize_dequantize(to_numpy(model), request.architecture))
        model.to(choose_device(self.trunk.device))
        score = score_model(model, search, self.trunk.protocol)
        mark = request.checkpoint_dir / _MARK
        make_folder(mark.parent)
        write_text(mark, f'{{"supernet": "{home.name}"}}\n')
        return Result(
            metrics={
                "bits_per_byte": score.bits_per_byte,
                **{f"{LOGIT}{name}": logit for name, logit in manifest.logits.items()},
            },
            checkpoint=mark,
            details={
                "inherited": True,
                # one job's in the ledger, like the seconds
                "flops": manifest.flops if _payer(home) == str(request.checkpoint_dir) else 0.0,
                "score": score.model_dump(mode="json"),
                "score_seconds": time.perf_counter() - started,
                "supernet": {
                    "folder": str(home),
                    "largest": manifest.largest.summary(),
                    **manifest.model_dump(
                        mode="json",
                        include={
                            "num_members", "plan", "step", "train_bytes", "train_seconds",
                            "flops", "logits", "context_tokens", "dtype", "device",
                        },
                    ),
                },
            },
        )  # fmt: skip

    def _name(self, tokens: TokenFile, seed: int) -> str:
        """One name per supernet: everything its weights depend on."""
        settings = self.model_dump(
            mode="json",
            include={
                "space": True, "limits": True, "plan": True,
                "trunk": {"recipe", "context_bytes", "device"},
            },
        )  # fmt: skip
        text = {"corpus": tokens.corpus_hash, "tokenizer": tokens.tokenizer_hash}
        return content_hash({**settings, **text, "seed": seed})

    def _trained(
        self,
        home: Path,
        request: Request,
        parts: Elastic,
        tokens: TokenFile,
        search: TokenFile,
    ) -> SupernetManifest | None:
        """The finished supernet, trained now if it is not; None if the job has to stop before."""
        found = _finished(home)
        if found is not None:
            return found
        make_folder(home)
        with _alone(home / "lock", request) as allowed:
            if not allowed:
                return None
            found = _finished(home)  # another job may have trained it meanwhile
            if found is not None:
                return found
            return self._train(home, request, parts, tokens, search)

    def _train(
        self,
        home: Path,
        request: Request,
        parts: Elastic,
        tokens: TokenFile,
        search: TokenFile,
    ) -> SupernetManifest | None:
        write_text(home / _PAYER, str(request.checkpoint_dir))
        supernet = self._begin(parts, tokens, search, seed=request.seed)
        if (home / MANIFEST).exists():
            # a killed job's leftover is a convenience: the folder is named by what it depends on
            with suppress(CheckpointError):
                supernet.resume(home)
        saved = supernet.train_seconds

        def report(reading: SupernetReading) -> None:
            nonlocal saved
            request.on_progress(_progress(reading))
            if reading.train_seconds - saved >= self.trunk.checkpoint_seconds:
                supernet.save(home)
                saved = reading.train_seconds

        reached = supernet.run(on_progress=report, should_stop=request.should_stop)
        supernet.save(home)
        return read_supernet(home) if reached else None

    def _begin(
        self, parts: Elastic, tokens: TokenFile, search: TokenFile, *, seed: int
    ) -> Supernet:
        return Supernet(
            parts,
            plan=self.plan,
            recipe=self.trunk.recipe,
            seed=seed,
            tokens=tokens,
            held_out=search,
            context_tokens=self._context_tokens(tokens, parts.largest),
            device=self.trunk.device,
            clock=CLOCKS[self.trunk.clock],
        )

    def _context_tokens(self, tokens: TokenFile, largest: Architecture) -> int | None:
        wanted = self.trunk.context_bytes
        if wanted is None:
            return None
        return max(1, min(round(wanted / tokens.bytes_per_token), largest.max_position_embeddings))


@lru_cache(maxsize=4)
def networks(settings: SharedWeightScoring) -> Elastic:
    """The networks that share weights. Raises ConfigError, InfeasibleError."""
    context = CostContext()
    if settings.limits:
        context = CostContext(prefix_num_bytes(Tokenizer.from_file(settings.trunk.tokenizer)))

    def feasible(architecture: Architecture) -> bool:
        if not settings.limits:
            return True
        found = static_metrics(architecture, context)
        return all(
            limit.holds(found[limit.metric]) for limit in settings.limits if limit.metric in found
        )

    return elastic(settings.space.build(), feasible=feasible)


def _finished(home: Path) -> SupernetManifest | None:
    """What stands in the folder if it is whole and done."""
    try:
        manifest = read_supernet(home)
    except CheckpointError:
        return None
    return manifest if manifest.finished else None


def _payer(home: Path) -> str:
    return (home / _PAYER).read_text(encoding="utf-8") if (home / _PAYER).is_file() else ""


def _progress(reading: SupernetReading) -> Progress:
    return Progress(
        step=reading.step,
        train_bytes=reading.train_bytes,
        fraction_done=reading.step / reading.num_steps,
        metrics={
            "supernet_train_bits_per_byte": reading.bits_per_byte,
            "supernet_train_seconds": reading.train_seconds,
        },
    )


@contextmanager
def _alone(file: Path, request: Request) -> Iterator[bool]:
    """Hold the lock of a file inside; False if the job was asked to stop while waiting for it."""
    with file.open("a") as handle:  # closing it lets go of the lock, and so does dying
        yield _wait(lambda: _take(handle.fileno()), request)


def _take(number: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: two jobs may train the same at once, and write the same
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(take: Callable[[], bool], request: Request) -> bool:
    """Until it is taken; now and then a sign of life, as a silent job counts as stuck."""
    told = time.monotonic()
    while not take():
        if request.should_stop():
            return False
        if time.monotonic() - told >= _SIGN_SECONDS:
            told = time.monotonic()
            request.on_progress(Progress(step=0, train_bytes=0, fraction_done=0.0, metrics={}))
        time.sleep(_PAUSE_SECONDS)
    return True


PART = SharedWeightScoring

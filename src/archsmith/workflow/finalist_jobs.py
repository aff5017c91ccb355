"""What finalists go through as jobs of their study: cooled down, trained again, and scored."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from archsmith.architecture.tree import Architecture
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.errors import EvaluationError
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.score import score_gguf
from archsmith.runtime.folders import job_folder
from archsmith.store.records import JobKind, JobRecord, JobState, TrialRecord
from archsmith.study import Study
from archsmith.study.beside import Repeat
from archsmith.train.recipe import Recipe
from archsmith.workflow.calibration import scaled_rates
from archsmith.workflow.repeats import Training
from archsmith.workflow.selection import FinalistRun
from archsmith.workflow.tasks import task_errors
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import Workspace


@dataclass(kw_only=True)
class FinalistJobs:
    """Runs jobs of finalists and scores what they leave, on the selection split.

    Attributes:
        recipe: that all finalists were trained with.
        executor: where jobs run; `inline` is this process.
        clock: what seconds are measured with.
        seconds_in_jobs: how long jobs were waited for; they enter the ledger by themselves.
    """

    study: Study
    workspace: Workspace
    recipe: Recipe
    watcher: Watcher
    executor: Literal["processes", "inline"]
    clock: Callable[[], float]
    seconds_in_jobs: float = field(default=0.0, init=False)

    @property
    def num_slots(self) -> int:
        """Jobs side by side."""
        return 1 if self.executor == "inline" else self.workspace.config.n_jobs

    @property
    def protocol(self) -> ScoringProtocol:
        """What finalists are scored by."""
        return self.workspace.config.rung_protocol

    def cool_down(self, trials: Sequence[TrialRecord]) -> dict[int, Path]:
        """The cooled weights of trials by number; one that failed is left out, and said.

        Raises:
            EvaluationError: none could be cooled down.
            CheckpointError, SearchInterrupted: as `Study.cool_down`.
        """
        with self._timed():
            jobs = self.study.cool_down(trials, **self._settings())
        cooled = {job.number: self._weights(job) for job in jobs if job.state is JobState.DONE}
        reasons = [
            f"trial {job.number} could not be cooled down: {job.error.split(chr(10), 1)[0]}"
            for job in jobs
            if job.state is not JobState.DONE
        ]
        if not cooled:
            raise EvaluationError("; ".join(reasons))
        for reason in reasons:
            self.watcher.note(f"{reason}; it is no finalist")
        return cooled

    def train_from_scratch(
        self, trials: Sequence[TrialRecord], *, train_bytes: int, timeout: float | None
    ) -> dict[int, FinalistRun]:
        """Trials whose scores are inherited, trained by themselves and cooled down, by number; what
        is not done when the time is up is left out. Raises as `Study.train_on`."""
        with self._timed():
            jobs = self.study.train_on(
                trials, train_bytes=train_bytes, timeout=timeout, **self._settings()
            )
        return {
            job.number: self._run(Training(job.number, job.seed), job, trial.architecture)
            for trial, job in zip(trials, jobs, strict=True)
            if not job.is_open
        }

    def train_again(
        self,
        trainings: Sequence[Training],
        trials: Mapping[int, TrialRecord],
        *,
        timeout: float | None,
    ) -> dict[int, list[FinalistRun]]:
        """By trial; what is not done when the time is up is left out. Raises as `Study.repeat`."""
        repeats = [
            Repeat(one.trial, one.seed, self._options(one, trials[one.trial].architecture))
            for one in trainings
        ]
        with self._timed():
            jobs = self.study.repeat(repeats, timeout=timeout, **self._settings())
        runs: dict[int, list[FinalistRun]] = {}
        for training, job in zip(trainings, jobs, strict=True):
            if not job.is_open:
                run = self._run(training, job, trials[job.number].architecture)
                runs.setdefault(job.number, []).append(run)
        return runs

    def score(
        self, architecture: Architecture, weights: Mapping[str, np.ndarray]
    ) -> tuple[float, Mapping[str, float]]:
        """Bits per byte on the selection split, and error rates on the user's tasks, often none.

        Both of the file that would be deployed, written and run in llama.cpp. A network that GGUF
        does not carry has no tasks, and is scored after the losses of its quantization.

        Raises ExportError where llama.cpp refuses the file.
        """
        tokens = self.workspace.tokens(Split.SELECTION, architecture.vocab_size)
        config = self.workspace.config
        if GGUF.unsupported(architecture):
            return score_quantized(architecture, weights, tokens, self.protocol), {}
        with tempfile.TemporaryDirectory(prefix="archsmith-finalist-") as folder:
            path = Path(folder) / "finalist.gguf"
            GGUF.write(
                path,
                weights=weights,
                architecture=architecture,
                tokenizer=self.workspace.tokenizer_for(architecture.vocab_size),
                metadata={},
            )
            found = score_gguf(path, lambda tokenizer: tokens, self.protocol)
            return found.bits_per_byte, task_errors(path, config.objectives, self.workspace.root)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = self.clock()
        try:
            yield
        finally:
            self.seconds_in_jobs += self.clock() - begun

    def _settings(self) -> dict[str, Any]:
        """How jobs are run: one at a time needs no process of its own."""
        return {
            "n_jobs": self.num_slots,
            "executor": "inline" if self.num_slots == 1 else self.executor,
            "on_event": self.watcher.event,
            "threads": 1,
            "clock": self.clock,
        }

    def _options(self, training: Training, architecture: Architecture) -> dict[str, Any]:
        """How it differs from the search's own training, for the evaluator."""
        if training.rate_factor == 1.0:
            return {"cooldown": True}
        rates = scaled_rates(self.recipe, architecture, training.rate_factor)
        return {"cooldown": True, **rates}

    def _run(self, training: Training, job: JobRecord, architecture: Architecture) -> FinalistRun:
        """A training that was done, scored as the finalists were, or failed."""
        if job.state is not JobState.DONE:
            return FinalistRun(
                seed=training.seed,
                rate_factor=training.rate_factor,
                reason=job.error.split("\n", 1)[0],
            )
        bits_per_byte, errors = self.score(architecture, load_file(self._weights(job)))
        return FinalistRun(
            seed=training.seed,
            rate_factor=training.rate_factor,
            selection_bits_per_byte=bits_per_byte,
            task_errors=errors,
            checkpoint=job.checkpoint_out,
        )

    def _weights(self, job: JobRecord) -> Path:
        """The cooled weights that a job left, wherever the study was moved since."""
        name = Path(str(job.details["weights"])).name
        return job_folder(self.study.checkpoint_root, job) / name


def score_quantized(
    architecture: Architecture,
    weights: Mapping[str, np.ndarray],
    tokens: TokenFile,
    protocol: ScoringProtocol,
) -> float:
    """Bits per byte of weights after the losses of their quantization, by this package's model."""
    from archsmith.export.roundtrip import quantize_dequantize
    from archsmith.model.transformer import build, load_numpy
    from archsmith.train.scoring import score_model

    model = build(architecture, seed=None)
    load_numpy(model, quantize_dequantize(weights, architecture))
    return score_model(model, tokens, protocol).bits_per_byte


def room_left(
    room_seconds: float | None, trials: Sequence[TrialRecord], kind: JobKind, *, num_slots: int
) -> float | None:
    """Of the room for jobs of a kind, what those before an interruption left; None for no end."""
    if room_seconds is None:
        return None
    return max(float(room_seconds) - seconds_taken(trials, kind, num_slots=num_slots), 0.0)


def seconds_taken(trials: Sequence[TrialRecord], kind: JobKind, *, num_slots: int) -> float:
    """What the jobs of a kind took so far, side by side."""
    return sum(job.wall_seconds for t in trials for job in t.jobs if job.kind is kind) / num_slots

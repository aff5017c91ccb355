"""Baselines of the final comparison, each trained for the same seconds as the whole search.

An arm is trained in a process of its own, so that it can run beside the search on another core; it
tells its progress as one JSON object a line. A killed arm continues from its last checkpoint.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, load_json
from archsmith.data.corpus import Corpus
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.data.storage import write_text
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import EvaluationError
from archsmith.evaluators.base import Progress
from archsmith.train.recipe import Recipe
from archsmith.workflow.model_folder import is_model_folder

_TASK = "task.json"
# What BLAS and OpenMP read; set before the child imports torch.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ArmTask(Spec):
    """Everything a child process needs to train one arm into `output_dir`."""

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
    seed: int = 0
    num_threads: int = 1


class ArmProcess:
    """One arm under way. `wait` returns when its model folder is written.

    Attributes:
        task: what it trains.
        latest: the last progress reading, or None before the first.
    """

    def __init__(
        self, task: ArmTask, *, on_progress: Callable[[str, Progress], None] | None = None
    ) -> None:
        self.task = task
        self.latest: Progress | None = None
        self._on_progress = on_progress
        task.output_dir.mkdir(parents=True, exist_ok=True)
        write_text(task.output_dir / _TASK, task.model_dump_json(indent=1))
        threads = dict.fromkeys(_THREAD_VARIABLES, str(task.num_threads))
        self._errors = (task.output_dir / "errors.log").open("w+", encoding="utf-8")
        self._child = subprocess.Popen(
            [sys.executable, "-m", "archsmith.workflow.arms", str(task.output_dir / _TASK)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **threads},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self) -> None:
        """Until the arm is finished. Raises EvaluationError with the child's last words."""
        code = self._child.wait()
        self._reader.join()
        if code or not is_model_folder(self.task.output_dir):
            self._errors.seek(0)
            words = self._errors.read().strip().splitlines()[-1:] or [f"exit code {code}"]
            raise EvaluationError(f"{self.task.name} could not be trained: {words[0]}")
        self._errors.close()

    def stop(self) -> None:
        """End the child; what it saved stays."""
        if self._child.poll() is None:
            self._child.terminate()
        self._child.wait()
        self._reader.join()
        self._errors.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                try:
                    self.latest = Progress(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                if self._on_progress is not None:
                    self._on_progress(self.task.name, self.latest)


def wait_for(arms: Sequence[ArmProcess]) -> None:
    """Until all are finished; whatever ends the wait ends the others too.

    Raises EvaluationError.
    """
    try:
        for arm in arms:
            arm.wait()
    except BaseException:
        for arm in arms:
            arm.stop()
        raise


def train_arm(task: ArmTask, *, on_progress: Callable[[Progress], None]) -> None:
    """Train the arm in this process."""
    from archsmith.workflow.training import train_interruptibly

    corpus = Corpus.open(task.corpus)
    tokenizer = Tokenizer.from_file(task.tokenizer)
    if tokenizer.vocab_size != task.architecture.vocab_size:
        tokenizer = tokenizer.prefix(task.architecture.vocab_size)
    train, search = (
        TokenFile.build(corpus, split, tokenizer, task.tokens_dir, num_threads=task.num_threads)
        for split in (Split.TRAIN, Split.SEARCH)
    )
    train_interruptibly(
        task.architecture,
        train_tokens=train,
        validation_tokens=search,
        tokenizer=tokenizer,
        recipe=task.recipe,
        protocol=task.protocol,
        output_dir=task.output_dir,
        max_seconds=task.max_seconds,
        train_bytes=task.train_bytes,
        seed=task.seed,
        num_threads=task.num_threads,
        on_progress=on_progress,
    )


def _main(path: Path) -> None:
    task = load_json(ArmTask, path)

    def tell(progress: Progress) -> None:
        fields: dict[str, Any] = {
            "step": progress.step,
            "train_bytes": progress.train_bytes,
            "fraction_done": progress.fraction_done,
            "metrics": dict(progress.metrics),
        }
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    train_arm(task, on_progress=tell)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

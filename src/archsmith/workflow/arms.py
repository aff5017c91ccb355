"""One-shot arms of the final comparison, each trained in a process of its own.

So an arm can run beside the search on another core; it tells its progress as one JSON object a
line. A killed arm continues from its last checkpoint.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from archsmith.config import load_json
from archsmith.data.storage import write_text
from archsmith.errors import ArchsmithError, EvaluationError, SearchInterrupted
from archsmith.evaluators.base import Progress
from archsmith.workflow.arm_training import ArmTask, train_arm
from archsmith.workflow.model_folder import is_model_folder

__all__ = ["ArmProcess", "ArmTask", "train_arm", "wait_for"]

_TASK = "task.json"
# What BLAS and OpenMP read; set before the child imports torch.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
        """Until the arm is finished.

        Raises EvaluationError with the child's last words, SearchInterrupted where it was stopped.
        """
        code = self._child.wait()
        self._reader.join()
        if code == SearchInterrupted.exit_code:
            raise SearchInterrupted(f"{self.task.name}: stopped; the same command continues it")
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
    """Until all are finished; whatever ends the wait ends the others too. Raises as `wait`."""
    try:
        for arm in arms:
            arm.wait()
    except BaseException:
        for arm in arms:
            arm.stop()
        raise


def _last_words(error: ArchsmithError) -> int:
    """Tell why the arm ended; its exit code."""
    sys.stderr.write(f"{error}\n")
    return error.exit_code


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

    try:
        train_arm(task, on_progress=tell)
    except ArchsmithError as error:
        sys.exit(_last_words(error))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

"""The worker loop: claim a job, evaluate it, record the result under the lease.

The same loop runs in a process of its own (`python -m archsmith.runtime.worker STORE STUDY`), on
another machine, and inline in the search's own process. Workers share a database URL and a
checkpoint folder, nothing else. A worker stops when its study asks it to, on SIGTERM, and when
the process that started it is gone: it checkpoints what it has, hands the job back, and exits.
"""

import errno
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import psutil

from archsmith.errors import CheckpointError, EvaluationError
from archsmith.evaluators.base import Evaluator, Progress, Request, Result
from archsmith.runtime.folders import (
    checkpoint_root,
    job_folder,
    num_bytes,
    resume_point,
    stored_path,
)
from archsmith.runtime.lease import LEASE_SECONDS, LeaseKeeper
from archsmith.store.records import AUDIT, TRAINING_KINDS, JobKind, JobRecord
from archsmith.store.store import Store
from archsmith.trial import Rung

# A live reading is written at most this often.
PROGRESS_SECONDS = 0.5
_TRACEBACK_CHARACTERS = 8000
# between two looks at an empty queue, in seconds
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


def owner_name() -> str:
    """Who holds a lease: host, process, when the process began, and something unique."""
    process = psutil.Process()
    return (
        f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}:{uuid.uuid4().hex[:8]}"
    )


def is_dead(owner: str) -> bool:
    """Whether an owner is known to be gone: a process of this machine that no longer runs."""
    host, _, rest = owner.partition(":")
    if host != socket.gethostname():
        return False
    pid, created, _ = rest.split(":")
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(created)) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_job(
    store: Store,
    job: JobRecord,
    evaluator: Evaluator,
    architecture: Any,
    *,
    lease_seconds: float = LEASE_SECONDS,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Evaluate a claimed job and record how it went. Raises only what the store raises."""
    root = checkpoint_root(store, store.study(job.study))
    folder = job_folder(root, job)
    folder.mkdir(parents=True, exist_ok=True)
    _set_torch_threads(job.threads)
    readings = _Readings(store, job, on_progress)
    begun = (time.process_time(), time.monotonic())
    outcome: Result | BaseException
    with LeaseKeeper(store, job, lease_seconds=lease_seconds, stop=stop) as keeper:
        try:
            outcome = _evaluate(evaluator, job, architecture, root, keeper, readings)
        except Exception as error:  # a candidate's failure is a result
            outcome = error
        except BaseException:
            store.queue.preempt(job, **_spent(begun))
            raise
    if keeper.lost.is_set():
        return
    if isinstance(outcome, BaseException):
        reason, retryable = _explained(outcome)
        trace = "" if isinstance(outcome, EvaluationError) else _trace(outcome)
        store.queue.fail(job, reason, retryable=retryable, traceback=trace, **_spent(begun))
    elif not outcome.complete:
        path = stored_path(root, outcome.checkpoint) if outcome.checkpoint else ""
        store.queue.preempt(job, checkpoint=path, **_spent(begun))
    else:
        _finish(store, job, evaluator, outcome, readings, root, begun)


def work(
    store: Store,
    study: str,
    evaluator: Evaluator,
    *,
    owner: str,
    threads: int,
    stop: Callable[[], bool],
    stay: bool,
    lease_seconds: float = LEASE_SECONDS,
    job_id: int | None = None,
    kinds: Sequence[JobKind] = TRAINING_KINDS,
) -> int:
    """Work off a study's queue; returns the number of jobs done.

    `stay`: wait for more jobs until asked to stop, instead of returning when there is none.
    """
    done = 0
    pause = _SHORTEST_PAUSE
    while not stop() and not store.stop_requested(study):
        job = store.queue.claim(
            study,
            owner=owner,
            lease_seconds=lease_seconds,
            threads=threads,
            kinds=kinds,
            job_id=job_id,
        )
        if job is None:
            if not stay:
                break
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            continue
        pause = _SHORTEST_PAUSE
        point = store.trial(study, job.number).architecture
        run_job(store, job, evaluator, point, lease_seconds=lease_seconds, stop=stop)
        done += 1
    return done


def _evaluate(
    evaluator: Evaluator,
    job: JobRecord,
    architecture: Any,
    root: Path,
    keeper: LeaseKeeper,
    readings: "_Readings",
) -> Result:
    def attempt(checkpoint_in: Path | None) -> Result:
        return evaluator.evaluate(
            Request(
                architecture=architecture,
                rung=_rung(job),
                seed=job.seed,
                checkpoint_in=checkpoint_in,
                checkpoint_dir=job_folder(root, job),
                num_threads=job.threads,
                options={k: v for k, v in job.options.items() if k != AUDIT},
                on_progress=readings.add,
                should_stop=keeper.should_stop,
            )
        )

    given = root / job.checkpoint_in if job.checkpoint_in else None
    latest = resume_point(root, job)
    try:
        return attempt(latest)
    except CheckpointError:
        # what an interrupted attempt left cannot be used: go back to where the job began
        if latest == given:
            raise
        return attempt(given)


def _rung(job: JobRecord) -> Rung | None:
    if job.train_bytes < 1:
        return None
    return Rung(index=max(job.rung, 0), fraction=job.fraction, train_bytes=job.train_bytes)


def _finish(
    store: Store,
    job: JobRecord,
    evaluator: Evaluator,
    result: Result,
    readings: "_Readings",
    root: Path,
    begun: tuple[float, float],
) -> None:
    missing = [name for name in evaluator.metrics() if name not in result.metrics]
    if missing and job.kind is JobKind.RUNG:
        reason = f"the evaluator promised {', '.join(missing)} and did not return it"
        store.queue.fail(job, reason, **_spent(begun))
        return
    path, size = "", 0
    if result.checkpoint is not None:
        path = stored_path(root, result.checkpoint)
        inside = result.checkpoint.absolute().is_relative_to(job_folder(root, job))
        size = num_bytes(job_folder(root, job) if inside else result.checkpoint)
    store.queue.finish(
        job,
        metrics=result.metrics,
        curve=result.curve or readings.pending,
        checkpoint=path,
        checkpoint_bytes=size,
        details=result.details,
        **_spent(begun),
    )


class _Readings:
    """Live readings on their way to the store, in batches."""

    def __init__(self, store: Store, job: JobRecord, listener: Callable[[Progress], None]) -> None:
        self._listener = listener
        self.pending: list[tuple[int, float, str, float]] = []
        self._store = store
        self._job = job
        self._begun = time.monotonic()
        self._written = self._begun
        self._first = True

    def add(self, progress: Progress) -> None:
        """Take a reading; write what has gathered if it is time."""
        self._listener(progress)
        now = time.monotonic()
        seconds = self._job.wall_seconds + now - self._begun
        self.pending += [
            (progress.train_bytes, seconds, name, float(value))
            for name, value in progress.metrics.items()
        ]
        if now - self._written < PROGRESS_SECONDS:
            return
        reading = {
            "step": progress.step,
            "train_bytes": progress.train_bytes,
            "fraction_done": progress.fraction_done,
            "metrics": dict(progress.metrics),
        }
        self._store.queue.report_progress(
            self._job, reading, curve=self.pending, replace=self._first
        )
        self.pending, self._written, self._first = [], now, False


class Spent(TypedDict):
    """Seconds of an attempt, as the store's methods take them."""

    cpu_seconds: float
    wall_seconds: float


def _spent(begun: tuple[float, float]) -> Spent:
    cpu, wall = begun
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}


def _explained(error: BaseException) -> tuple[str, bool]:
    """(reason, whether to try again) of a failed evaluation."""
    text = str(error).strip()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        if text.startswith("out of memory"):
            return text, False
        return f"out of memory{': ' + text if text else ''}", False
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {text}", True
    if isinstance(error, EvaluationError):
        return text or type(error).__name__, False
    return f"{type(error).__name__}: {text}" if text else type(error).__name__, False


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]


def _set_torch_threads(threads: int) -> None:
    """A job's thread count is fixed; the environment can only say it before torch is imported."""
    torch = sys.modules.get("torch")
    if torch is not None and threads > 0 and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    from archsmith.runtime.worker_main import main

    sys.exit(main())

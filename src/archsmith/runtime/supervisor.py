"""Local worker processes: one per job slot, watched, and replaced when they die.

A worker that is killed, by the system's out-of-memory killer or by hand, costs its own job
nothing but the time since its last checkpoint, and its neighbours nothing at all. The supervisor
kills a worker itself when it uses more than its share of memory or shows no progress, and records
that as the candidate's failure. Workers hold the end of a pipe: when this process dies, however
it dies, the pipe closes, and they checkpoint and stop.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

import psutil

from archsmith.errors import EvaluationError
from archsmith.runtime.lease import LEASE_SECONDS
from archsmith.runtime.parts import NOTE
from archsmith.runtime.processes import NEVER_BEGAN, UNSEEN, WorkerProcess, choose_starter
from archsmith.store.records import SEARCH_KINDS, JobKind, JobRecord
from archsmith.store.store import Store
from archsmith.units import format_bytes, format_seconds

# Between two looks at the workers' memory and progress, in seconds.
WATCH_SECONDS = 0.5
# How long a worker that was asked to stop may take to checkpoint.
GRACE_SECONDS = 120.0
STUCK_SECONDS = 1800.0
_TICK_SECONDS = 0.02
_MAX_DEAD_STARTS = 3


@dataclass
class _Worker:
    process: WorkerProcess
    errors: IO[bytes]
    has_worked: bool = False
    killed: bool = False

    def holds(self, job: JobRecord) -> bool:
        """Whether it is the owner of a lease."""
        pid = self.process.pid
        return pid is not None and job.owner.startswith(f"{socket.gethostname()}:{pid}:")


class Supervisor:
    """Keeps `num_slots` workers on a study's queue.

    Args:
        memory_bytes: what one worker may use; None for its share of nine tenths of what is free.
        stuck_seconds: a job without progress for so long is stopped and recorded as failed.
        kinds: of jobs that the workers take.
        job_id: the only job they may take; None for any of the study.
        on_notice: told in a line what is not a candidate's business.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        *,
        num_slots: int,
        threads: int,
        on_notice: Callable[[str], None],
        memory_bytes: int | None = None,
        stuck_seconds: float = STUCK_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        job_id: int | None = None,
        kinds: Sequence[JobKind] = SEARCH_KINDS,
    ) -> None:
        self._job_id, self._kinds = job_id, tuple(kinds)
        self.num_slots = num_slots
        free = psutil.virtual_memory().available
        self._memory_bytes = memory_bytes or round(0.9 * free / num_slots)
        self._store = store
        self._study = study
        self._threads = threads
        self._notice = on_notice
        self._stuck_seconds = stuck_seconds
        self._lease_seconds = lease_seconds
        self._dead_starts = 0
        self._watched = 0.0
        self._leased: list[JobRecord] = []
        # ends with this process, however that ends; the workers read it
        self._life_line = os.pipe()
        self._starter = choose_starter(
            store.notes(study).get(NOTE),
            self._life_line[0],
            threads=threads,
            on_notice=on_notice,
        )
        self._workers = [self._spawn() for _ in range(num_slots)]

    def num_busy(self) -> int:
        """Workers that hold a job."""
        self._leased = self._store.queue.leased(self._study)
        return sum(self._job_of(worker) is not None for worker in self._workers)

    def work(self) -> None:
        """Look after the workers for a moment."""
        time.sleep(_TICK_SECONDS)
        for index, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code is not None:
                self._bury(worker, code)
                self._workers[index] = self._spawn()
        if time.monotonic() - self._watched >= WATCH_SECONDS:
            self._watched = time.monotonic()
            self._watch()

    def close(self, *, kill: bool = False) -> None:
        """Ask the workers to checkpoint and stop, and wait; `kill` does not ask."""
        for worker in self._workers:
            if kill:
                worker.process.kill()
            else:
                worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            for worker in self._workers:
                worker.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._notice(f"a worker did not stop within {format_seconds(GRACE_SECONDS)}: killed")
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
                self._hand_back(worker)
                worker.errors.close()
            self._starter.close()
            for end in self._life_line:
                os.close(end)

    def _spawn(self) -> _Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its worker
        arguments = [self._store.url, self._study, "--stay", "--parent-pipe"]
        arguments += ["--threads", str(self._threads)]
        arguments += ["--lease-seconds", str(self._lease_seconds)]
        for kind in self._kinds:
            arguments += ["--kind", kind.value]
        if self._job_id is not None:
            arguments += ["--job-id", str(self._job_id)]
        process = self._starter.start(arguments, threads=self._threads, errors=errors)
        return _Worker(process, errors)

    def _job_of(self, worker: _Worker) -> JobRecord | None:
        for job in self._leased:
            if worker.holds(job):
                worker.has_worked = True
                return job
        return None

    def _bury(self, worker: _Worker, code: int) -> None:
        """Give a dead worker's job back to the queue and find out whether workers can start.

        Raises:
            EvaluationError: they cannot.
        """
        if code == NEVER_BEGAN:
            worker.errors.close()
            return
        self._leased = self._store.queue.leased(self._study)
        job = self._job_of(worker)
        if job is not None:
            self._store.queue.lose(job, f"its worker died: {_death(code)}")
        if worker.has_worked or worker.killed:
            self._dead_starts = 0
        elif code != 0:
            self._dead_starts += 1
        text = _tail(worker.errors)
        worker.errors.close()
        if self._dead_starts >= _MAX_DEAD_STARTS:
            raise EvaluationError(
                f"worker processes cannot start ({_death(code)})"
                + (f"; the last one said:\n{text}" if text else "")
            )
        if not worker.killed:
            self._notice(f"a worker died ({_death(code)}); another takes its place")

    def _watch(self) -> None:
        self._leased = self._store.queue.leased(self._study)
        running = {entry.job_id: entry for entry in self._store.queue.running(self._study)}
        for worker in self._workers:
            job = self._job_of(worker)
            if job is None:
                continue
            used = _memory_bytes(worker.process.pid)
            entry = running.get(job.id)
            since = (entry.progress_at or entry.started) if entry else self._store.clock()
            silent = self._store.clock() - since
            reason = ""
            if used > self._memory_bytes:
                reason = (
                    f"out of memory: used {format_bytes(used)} of the "
                    f"{format_bytes(self._memory_bytes)} a worker may use"
                )
            elif silent > self._stuck_seconds:
                reason = f"stuck: no progress for {format_seconds(silent)}"
            if reason and self._store.queue.fail(job, reason, wall_seconds=_age(self._store, job)):
                worker.killed = True
                worker.process.kill()

    def _hand_back(self, worker: _Worker) -> None:
        """Free what a stopped worker still held: it was preempted, that is no failure."""
        self._leased = self._store.queue.leased(self._study)
        job = self._job_of(worker)
        if job is not None:
            self._store.queue.preempt(job, wall_seconds=_age(self._store, job))


def _age(store: Store, job: JobRecord) -> float:
    now = store.clock()
    return now - (job.started or now)


def _memory_bytes(pid: int | None) -> int:
    """Resident bytes of a process and its children; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.NoSuchProcess:
        return 0


def _death(code: int) -> str:
    if code == UNSEEN:
        return "unseen, after the process that forked it"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    hint = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
    return f"killed by {name}{hint}"


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - 2000, 0))
    return errors.read().decode(errors="replace").strip()

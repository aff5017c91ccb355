"""Workers in milliseconds: a process that is warm once forks them all.

This is the supervisor's side; `archsmith.runtime.zygote_main` is the process. multiprocessing's
fork server is not used: it imports the user's main script in every worker, is one for the whole
program, and when it dies all its workers look dead (exit code 255) though they live.

A zygote that dies is replaced when the next worker is asked for. Its workers go on; only how they
end is then seen by nobody.
"""

import json
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

import psutil

from archsmith.runtime.processes import (
    NEVER_BEGAN,
    UNSEEN,
    FreshProcesses,
    WorkerProcess,
    environment,
)
from archsmith.runtime.zygote_main import MESSAGE_BYTES

# How long a zygote that was told to end may take; it has nothing to save.
_END_SECONDS = 5.0
_TICK_SECONDS = 0.02


class Zygote:
    """A starter of forked workers; of fresh processes once the zygote says that it is not fit.

    Args:
        evaluator: as `dump_evaluator` wrote it.
        life_line: the pipe that ends with this process.
        threads: of the jobs to come.
    """

    def __init__(
        self,
        evaluator: Mapping[str, Any],
        life_line: int,
        *,
        threads: int,
        on_notice: Callable[[str], None],
    ) -> None:
        self._order = {"evaluator": dict(evaluator), "threads": threads}
        self._life_line = life_line
        self._notice = on_notice
        self._fresh: FreshProcesses | None = None
        self._process = _ZygoteProcess(self._order, life_line)

    @property
    def pid(self) -> int:
        """Of the latest zygote."""
        return self._process.pid

    def start(self, arguments: Sequence[str], *, threads: int, errors: IO[bytes]) -> WorkerProcess:
        """See Starter. The worker begins when the zygote is warm."""
        self._process.listen()
        if self._process.unfit and self._fresh is None:
            self._notice(f"workers are started one by one: {self._process.unfit}")
            self._fresh = FreshProcesses(self._life_line)
        if self._fresh is not None:
            return self._fresh.start(arguments, threads=threads, errors=errors)
        if not self._process.is_open:
            if self._process.ready:
                self._notice("the process that forks workers died; another takes its place")
            self._process = _ZygoteProcess(self._order, self._life_line)
        return self._process.fork(arguments, threads=threads, errors=errors)

    def close(self) -> None:
        """End the zygote."""
        self._process.close()


class _ZygoteProcess:
    """One zygote, and what it said. `is_open` until it is known to be dead."""

    def __init__(self, order: Mapping[str, Any], life_line: int) -> None:
        self.ready, self.unfit, self.is_open = False, "", True
        self._workers: list[_ForkedWorker] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "archsmith.runtime.zygote_main", str(other.fileno())],
                stdin=life_line,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=environment(threads=1),
                pass_fds=[other.fileno()],
                start_new_session=True,  # Ctrl-C is for the supervisor to pass on
            )
        self.pid = self._process.pid
        self._send(order)

    def fork(self, arguments: Sequence[str], *, threads: int, errors: IO[bytes]) -> "_ForkedWorker":
        """Ask for a worker."""
        request = {"number": len(self._workers), "arguments": list(arguments), "threads": threads}
        worker = _ForkedWorker(self, errors)
        self._workers.append(worker)
        self._send(request, errors)
        return worker

    def listen(self) -> None:
        """Take in what was said since."""
        while self.is_open and select.select([self._socket], [], [], 0)[0]:
            try:
                text = self._socket.recv(MESSAGE_BYTES)
            except ConnectionError:
                continue  # told once, before what it said last, where requests were left unread
            if not text:
                self._end()
                return
            message = json.loads(text)
            self.ready = self.ready or "ready" in message
            self.unfit = message.get("unfit", self.unfit)
            if "number" in message:
                self._workers[message["number"]].hear(**message)

    def wait(self) -> None:
        """For a moment, or until something is said."""
        if self.is_open:
            select.select([self._socket], [], [], _TICK_SECONDS)
        else:
            time.sleep(_TICK_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        if self.is_open:
            self._process.kill()

    def close(self) -> None:
        """End it."""
        if self.is_open:
            if not self.ready:
                self.kill()  # it would notice only when it is warm
            self._end()

    def _end(self) -> None:
        """See it end, and tell the workers that were not forked yet."""
        self.is_open = False
        self._socket.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for worker in self._workers:
            if worker.pid is None and worker.poll() is None:
                self._never_began(worker, code)
        self._errors.close()

    def _never_began(self, worker: "_ForkedWorker", code: int) -> None:
        if self.ready or self.unfit:
            worker.hear(code=NEVER_BEGAN)
        else:  # it could not get warm: what it said is the worker's last word
            self._errors.seek(0)
            shutil.copyfileobj(self._errors, worker.errors)
            worker.hear(code=code)

    def _send(self, message: Mapping[str, Any], *files: IO[bytes]) -> None:
        # a dead zygote is found when we listen
        with suppress(ConnectionError):
            descriptors = [file.fileno() for file in files]
            socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)


class _ForkedWorker:
    """A worker that a zygote forks: what it and the zygote told of it."""

    def __init__(self, zygote: _ZygoteProcess, errors: IO[bytes]) -> None:
        self.errors = errors
        self._zygote = zygote
        self._pid: int | None = None
        self._code: int | None = None
        self._process: psutil.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its number; None until it was forked."""
        if self._pid is None:
            self._zygote.listen()
        return self._pid

    def hear(self, *, pid: int | None = None, code: int | None = None, number: int = 0) -> None:
        """Take a message about it."""
        self._code = code
        if pid is not None:
            self._pid = pid
            with suppress(psutil.NoSuchProcess):
                self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """See WorkerProcess."""
        if self._code is None:
            self._zygote.listen()
        orphan = self._code is None and self._pid is not None and not self._zygote.is_open
        if orphan and not _runs(self._process):
            self._code = UNSEEN
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """See WorkerProcess."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            self._zygote.wait()
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None and self._pid is None and not self._zygote.ready:
            self._zygote.kill()  # not to wait until it is warm, only to end what it would fork
        while self.poll() is None and self._pid is None:
            self._zygote.wait()
        if self.poll() is None and self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.send_signal(number)


def _runs(process: psutil.Process | None) -> bool:
    try:
        return (
            process is not None
            and process.is_running()
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False

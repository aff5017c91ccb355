"""Worker processes: how they are started, signalled and seen to end, whatever starts them.

Two starters do the same. `FreshProcesses` starts a new interpreter for each worker: everywhere, and
seconds until torch is imported. `archsmith.runtime.zygote` forks a warm one in milliseconds, where
that is safe. Either way a worker's standard input is the life line: a pipe that ends when the
starting process ends, however it does.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

# No process ends with these: it ended unseen, or it never began and is to be asked for again.
UNSEEN, NEVER_BEGAN = 1000, 1001

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)
# Drivers of NVIDIA, of AMD and of Windows' subsystem for Linux.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class WorkerProcess(Protocol):
    """What a supervisor needs of a process; `subprocess.Popen` has it all."""

    @property
    def pid(self) -> int | None:
        """Its number; None until it is known."""

    def poll(self) -> int | None:
        """None while it runs, then the exit code: below zero the signal, else also UNSEEN."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Starter(Protocol):
    """Where worker processes come from."""

    def start(self, arguments: Sequence[str], *, threads: int, errors: IO[bytes]) -> WorkerProcess:
        """A worker with the arguments of `archsmith.runtime.worker`; `errors` is its stderr."""

    def close(self) -> None:
        """End what was started beside the workers."""


class FreshProcesses:
    """A new interpreter for each worker. `life_line` is the pipe they read."""

    def __init__(self, life_line: int) -> None:
        self._life_line = life_line

    def start(self, arguments: Sequence[str], *, threads: int, errors: IO[bytes]) -> WorkerProcess:
        """See Starter."""
        return subprocess.Popen(
            [sys.executable, "-m", "archsmith.runtime.worker", *arguments],
            stdin=self._life_line,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment(threads),
            start_new_session=True,  # Ctrl-C is for the supervisor to pass on
        )

    def close(self) -> None:
        """Nothing was started beside the workers."""


def fork_is_safe() -> bool:
    """Whether workers may be forked: on Linux without a GPU.

    macOS forbids its system libraries to forked processes, Windows has no fork, and a GPU's context
    does not survive one.
    """
    return sys.platform == "linux" and not any(Path(device).exists() for device in _GPU_DEVICES)


def choose_starter(
    evaluator: Mapping[str, Any] | None,
    life_line: int,
    *,
    threads: int,
    on_notice: Callable[[str], None],
) -> Starter:
    """The faster starter that is safe here.

    Args:
        evaluator: as `dump_evaluator` wrote it: what forked workers are warm for; None for none.
        threads: of the jobs to come.
    """
    if evaluator is None or not fork_is_safe():
        return FreshProcesses(life_line)
    from archsmith.runtime.zygote import Zygote

    return Zygote(evaluator, life_line, threads=threads, on_notice=on_notice)


def environment(threads: int) -> dict[str, str]:
    """Of a process that imports what we can import and uses `threads` threads."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, str(threads))}

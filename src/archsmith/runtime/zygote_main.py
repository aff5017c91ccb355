"""The zygote's own process: it gets warm once, then forks a worker whenever it is asked.

It is warm when the evaluator of the study is imported and has done what it does first in every
process. Only the forking thread lives on in a child, so whatever lock another thread holds stays
locked there for ever; a process with a GPU's context or an open database must not be forked either.
So the zygote has one thread, computes with one, opens no database, and looks at itself before each
fork: if it is no longer fit it says so and ends, and workers are started in another way.

It reads requests from a socket of whole messages (JSON; stderr of the worker comes along):

    {"number": 3, "arguments": [...], "threads": 1}  asks for a worker
    {"ready": true}, {"unfit": "it has 2 threads"}   tell whether there will be any
    {"number": 3, "pid": 4711}                       from the worker itself, before its first job
    {"number": 3, "code": -9}                        when it has ended, as in `subprocess`
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from archsmith.errors import ArchsmithError
from archsmith.evaluators.base import Evaluator
from archsmith.runtime import worker_main
from archsmith.runtime.parts import load_evaluator
from archsmith.runtime.processes import THREAD_VARIABLES

MESSAGE_BYTES = 1 << 17
# After so long without a request the evaluator may warm up for what has come up since.
_IDLE_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    """Serve the socket whose number is the argument; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=int(arguments[0]))
    try:
        order = json.loads(requests.recv(MESSAGE_BYTES))
        evaluator = load_evaluator(order["evaluator"])
        evaluator.warm_up(num_threads=order["threads"])
        # what there is now stays: collections in the children need not look at it, nor copy it
        gc.collect()
        gc.freeze()
        if reason := unfit():
            _send(requests, unfit=reason)
            return 0
        _send(requests, ready=True)
        _serve(requests, evaluator, order["threads"])
    except ArchsmithError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError:
        return 0  # nobody listens any more
    return 0


def unfit() -> str:
    """Why this process must not be forked, or nothing."""
    num_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - the names alone
    if num_threads > 1:
        return f"the evaluator's imports started {num_threads - 1} threads"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the evaluator's imports use the GPU"
    return ""


def _serve(requests: socket.socket, evaluator: Evaluator, threads: int) -> None:
    """Fork and reap until the other end of the socket is closed."""
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler wakes us
    numbers: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([requests, woken], [], [], _IDLE_SECONDS)
        if woken in readable:
            woken.recv(4096)
        for pid, code in _ended():
            _send(requests, number=numbers.pop(pid), code=code)
        if not readable:
            evaluator.warm_up(num_threads=threads)
        if requests not in readable:
            continue
        message, files, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 1)
        if not message:
            return
        if reason := unfit():
            _send(requests, unfit=reason)
            return
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            woken.close()
            waker.close()
            _become_worker(requests, request, files[0])
        numbers[pid] = request["number"]
        os.close(files[0])


def _ended() -> list[tuple[int, int]]:
    """(pid, exit code) of the children that have ended since."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _become_worker(requests: socket.socket, request: Mapping[str, Any], errors: int) -> NoReturn:
    """Run a worker in this forked process, and end it; nothing of the zygote runs here again."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.dup2(errors, sys.stderr.fileno())
        os.close(errors)
        # of its children's; its own libraries are told by the job
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(request["threads"])))
        _send(requests, number=request["number"], pid=os.getpid())
        requests.close()
        code = worker_main.main(request["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _send(requests: socket.socket, **message: Any) -> None:
    requests.send(json.dumps(message).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

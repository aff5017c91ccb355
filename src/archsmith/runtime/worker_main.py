"""`python -m archsmith.runtime.worker STORE STUDY`: a worker process of its own."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing

from archsmith.errors import ArchsmithError
from archsmith.runtime.lease import LEASE_SECONDS
from archsmith.runtime.parts import stored_evaluator
from archsmith.runtime.worker import owner_name, work
from archsmith.store.records import TRAINING_KINDS, JobKind
from archsmith.store.store import connect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m archsmith.runtime.worker",
        description="Work off the queue of a study; start as many as you like, on any machine "
        "that reaches the store and the checkpoint folder.",
    )
    parser.add_argument("store", help="file or database URL of the store")
    parser.add_argument("study", help="name of the study")
    parser.add_argument("--threads", type=int, default=1, help="threads of a job (default: 1)")
    parser.add_argument("--stay", action="store_true", help="wait for more jobs when idle")
    parser.add_argument(
        "--parent-pipe",
        action="store_true",
        help="stop when standard input ends, as it does when the starting process dies",
    )
    parser.add_argument("--lease-seconds", type=float, default=LEASE_SECONDS)
    parser.add_argument(
        "--kind",
        dest="kinds",
        action="append",
        type=JobKind,
        choices=TRAINING_KINDS,
        metavar="{" + ",".join(TRAINING_KINDS) + "}",
        help="a kind of job to take, may be given several times (default: all of them)",
    )
    parser.add_argument("--job-id", type=int, help="the only job to take")
    options = parser.parse_args(arguments)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches the whole terminal; the starting process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN if options.parent_pipe else lambda *_: stop.set())
    if options.parent_pipe:
        threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    try:
        with closing(connect(options.store)) as store:
            work(
                store,
                options.study,
                stored_evaluator(store, options.study),
                owner=owner_name(),
                threads=options.threads,
                stop=stop.is_set,
                stay=options.stay,
                lease_seconds=options.lease_seconds,
                job_id=options.job_id,
                kinds=options.kinds or TRAINING_KINDS,
            )
    except ArchsmithError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _watch_parent(stop: threading.Event) -> None:
    while os.read(0, 1):
        pass
    stop.set()

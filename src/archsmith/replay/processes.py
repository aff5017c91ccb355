"""Repeats of searches in this process or in several, the same whatever their number."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple

from archsmith.errors import ArchsmithError
from archsmith.replay.curves import Truth
from archsmith.replay.repeat import is_random_search, search_table
from archsmith.replay.repeat_store import Repeat
from archsmith.replay.table import Table
from archsmith.strategies.base import Strategy

_CHUNK_SECONDS = 2.0  # a job of a process takes about so long
_QUEUED_PER_JOB = 3


class Task(NamedTuple):
    """Some repeats of one strategy, by its place."""

    arm: int
    seeds: Sequence[int]


class Done(NamedTuple):
    """A task with its repeats, in the order of its seeds."""

    task: Task
    repeats: list[Repeat]


def results(
    table: Table,
    strategies: Sequence[Strategy],
    n_trials: int,
    missing: Sequence[Sequence[int]],
    n_jobs: int,
) -> Generator[Done]:
    """Repeats as they are finished. `missing`: seeds by the place of their strategy.

    Whoever closes it, or is interrupted, waits for nothing that is under way.
    """
    if not any(missing):
        return
    if n_jobs == 1:
        worker = _Worker(table, strategies, n_trials)
        for arm, seeds in enumerate(missing):
            for seed in seeds:
                yield worker.run(Task(arm, (seed,)))
        return
    others = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            n_jobs, mp_context=context, initializer=_start, initargs=(table, strategies, n_trials)
        ) as pool,
    ):
        try:
            yield from _in_pool(pool, missing, n_jobs)
        except (KeyboardInterrupt, GeneratorExit):  # nobody waits for what is under way
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise
        except BrokenProcessPool:
            raise ArchsmithError(
                "a process of the replay was killed, perhaps for memory; try fewer --n-jobs"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_pool(
    pool: ProcessPoolExecutor, missing: Sequence[Sequence[int]], n_jobs: int
) -> Iterator[Done]:
    """Chunks that grow with an arm's speed, so that thousands of quick repeats cost few calls."""
    left = {arm: seeds for arm, seeds in enumerate(missing) if seeds}
    chunk = dict.fromkeys(left, 1)
    running: set[Any] = set()
    while left or running:
        while left and len(running) < _QUEUED_PER_JOB * n_jobs:
            arm = max(left, key=lambda arm: len(left[arm]))
            seeds, rest = left[arm][: chunk[arm]], left[arm][chunk[arm] :]
            running.add(pool.submit(_run, Task(arm, seeds)))
            left = {**left, arm: rest} if rest else {a: r for a, r in left.items() if a != arm}
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            done: Done = future.result()
            seconds = sum(repeat.seconds for repeat in done.repeats)
            each = max(seconds / len(done.repeats), 1e-4)
            chunk[done.task.arm] = max(1, min(200, int(_CHUNK_SECONDS / each)))
            yield done


class _Worker:
    """A table with its strategies, in one process."""

    def __init__(self, table: Table, strategies: Sequence[Strategy], n_trials: int) -> None:
        self.table, self.strategies, self.n_trials = table, strategies, n_trials
        self.truth = Truth(table)

    def run(self, task: Task) -> Done:
        """Some repeats of one arm."""
        strategy, repeats = self.strategies[task.arm], []
        for seed in task.seeds:
            start = time.process_time()
            found = search_table(self.table, strategy, n_trials=self.n_trials, seed=seed)
            curve = self.truth.curve(found.rows, seed=seed)
            seconds = time.process_time() - start
            is_random = strategy.type == "random" or is_random_search(
                self.table, found.rows, seed=seed
            )
            repeats.append(Repeat(curve, seconds, is_random, dict(Counter(found.notes))))
        return Done(task, repeats)


_WORKER: list[_Worker] = []


def _start(table: Table, strategies: Sequence[Strategy], n_trials: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who started this decides
    _WORKER[:] = [_Worker(table, strategies, n_trials)]


def _run(task: Task) -> Done:
    return _WORKER[0].run(task)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children inherit it: linear algebra on many threads is slower where all cores are busy."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before

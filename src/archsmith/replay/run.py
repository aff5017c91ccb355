"""Many repeats of many strategies on one table, in processes, paired by seed."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from archsmith import registry
from archsmith.config import validate
from archsmith.errors import ArchsmithError, ConfigError
from archsmith.replay.curves import Truth
from archsmith.replay.outcome import Arm, Replay, default_checkpoints
from archsmith.replay.repeat import search_table
from archsmith.replay.table import Table
from archsmith.strategies.base import Strategy

# (what is going on, share done, seconds left or None)
Report = Callable[[str, float, float | None], None]
_CHUNK_SECONDS = 2.0  # a job of a process takes about so long
_QUEUED_PER_JOB = 3


class _Task(NamedTuple):
    arm: int
    seeds: range


class _Done(NamedTuple):
    task: _Task
    curves: np.ndarray
    seconds: float


def read_strategy(text: str) -> Strategy:
    """`NAME` or `NAME:SETTING=VALUE,SETTING=VALUE`, as `nsga2:population_size=32`.

    Raises ConfigError for an unknown name or setting.
    """
    name, _, settings = text.partition(":")
    values: dict[str, str] = {}
    for part in filter(None, settings.split(",")):
        key, found, value = part.partition("=")
        if not found:
            raise ConfigError(
                f"cannot read strategy {text!r}; write NAME or NAME:SETTING=VALUE,SETTING=VALUE"
            )
        values[key.strip()] = value.strip()
    strategy: Strategy = validate(
        registry.find("strategies", name), values, source=f"strategy {name}"
    )
    return strategy


def replay(
    table: Table,
    strategies: Mapping[str, Strategy],
    *,
    n_trials: int,
    repeats: int,
    seed: int = 0,
    n_jobs: int = 1,
    checkpoints: Sequence[int] = (),
    report: Report = lambda what, share, left: None,
) -> Replay:
    """Every strategy `repeats` times on the table; repeat r has the same seed in every arm.

    With `n_jobs` above 1 the repeats run in as many processes of one thread each; figures do not
    depend on it. Raises ConfigError for more evaluations than rows that may be tried.
    """
    steps = tuple(checkpoints) or tuple(default_checkpoints(n_trials))
    if max(steps) > n_trials or min(steps) < 1:
        raise ConfigError(f"figures are asked for after {max(steps)} of {n_trials} evaluations")
    tryable = _num_tryable(table)
    if n_trials > tryable:
        raise ConfigError(
            f"{n_trials} evaluations are asked for and {table.name} has {tryable} models"
            f"{' within the limits' if table.limits else ''}; a search would only repeat itself"
        )
    arms = list(strategies.items())
    curves = [np.full((repeats, n_trials), np.nan) for _ in arms]
    seconds = [0.0] * len(arms)
    start, finished = time.monotonic(), 0
    for done in _results(table, [s for _, s in arms], n_trials, repeats, seed, n_jobs):
        rows = [number - seed for number in done.task.seeds]
        curves[done.task.arm][rows] = done.curves
        seconds[done.task.arm] += done.seconds
        finished += len(rows)
        share = finished / (repeats * len(arms))
        left = (time.monotonic() - start) * (1 - share) / share
        report(f"replaying {table.name}", share, left)
    truth = Truth(table)
    return Replay(
        table=table.name,
        num_rows=len(table.space),
        num_failed=int((~np.isfinite(table.scored).all(axis=1)).sum()),
        num_allowed=int(table.allowed.sum()),
        objectives=table.objectives,
        directions=tuple("maximize" if sign < 0 else "minimize" for sign in table.signs),
        limits=tuple(str(limit) for limit in table.limits),
        measure=truth.measure,
        front_size=truth.front_size,
        reference=truth.reference,
        arms=tuple(
            Arm(name=name, settings=strategy.model_dump(mode="json"), curves=c, seconds=s)
            for (name, strategy), c, s in zip(arms, curves, seconds, strict=True)
        ),
        checkpoints=steps,
        n_trials=n_trials,
        repeats=repeats,
        seed=seed,
    )


def _num_tryable(table: Table) -> int:
    """Rows that meet the limits, failed ones included."""
    kept = np.ones(len(table.space), dtype=bool)
    for limit in table.limits:
        kept &= np.array([limit.holds(float(v)) for v in table.static[limit.metric]])
    return int(kept.sum())


def _results(
    table: Table,
    strategies: Sequence[Strategy],
    n_trials: int,
    repeats: int,
    seed: int,
    n_jobs: int,
) -> Iterator[_Done]:
    if n_jobs == 1:
        worker = _Worker(table, strategies, n_trials)
        for arm in range(len(strategies)):
            for repeat in range(repeats):
                yield worker.run(_Task(arm, range(seed + repeat, seed + repeat + 1)))
        return
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            n_jobs, mp_context=context, initializer=_start, initargs=(table, strategies, n_trials)
        ) as pool,
    ):
        try:
            yield from _in_pool(pool, len(strategies), repeats, seed, n_jobs)
        except BrokenProcessPool:
            raise ArchsmithError(
                "a process of the replay was killed, perhaps for memory; try fewer --n-jobs"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_pool(
    pool: ProcessPoolExecutor, num_arms: int, repeats: int, seed: int, n_jobs: int
) -> Iterator[_Done]:
    """Chunks that grow with an arm's speed, so that thousands of quick repeats cost few calls."""
    left = {arm: range(seed, seed + repeats) for arm in range(num_arms)}
    chunk = dict.fromkeys(left, 1)
    running: set[Any] = set()
    while left or running:
        while left and len(running) < _QUEUED_PER_JOB * n_jobs:
            arm = max(left, key=lambda arm: len(left[arm]))
            seeds, rest = left[arm][: chunk[arm]], left[arm][chunk[arm] :]
            running.add(pool.submit(_run, _Task(arm, seeds)))
            left = {**left, arm: rest} if rest else {a: r for a, r in left.items() if a != arm}
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            done: _Done = future.result()
            each = max(done.seconds / len(done.task.seeds), 1e-4)
            chunk[done.task.arm] = max(1, min(200, int(_CHUNK_SECONDS / each)))
            yield done


class _Worker:
    """A table with its strategies, in one process."""

    def __init__(self, table: Table, strategies: Sequence[Strategy], n_trials: int) -> None:
        self.table, self.strategies, self.n_trials = table, strategies, n_trials
        self.truth = Truth(table)

    def run(self, task: _Task) -> _Done:
        """The curves of some repeats of one arm."""
        start, curves = time.process_time(), []
        for seed in task.seeds:
            rows = search_table(
                self.table, self.strategies[task.arm], n_trials=self.n_trials, seed=seed
            )
            curves.append(self.truth.curve(rows, seed=seed))
        return _Done(task, np.array(curves), time.process_time() - start)


_WORKER: list[_Worker] = []


def _start(table: Table, strategies: Sequence[Strategy], n_trials: int) -> None:
    _WORKER[:] = [_Worker(table, strategies, n_trials)]


def _run(task: _Task) -> _Done:
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

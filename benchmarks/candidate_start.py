"""How long a candidate takes until its first update: in a new process, a forked one, a warm one.

    python benchmarks/candidate_start.py [--candidates 20] [--cold 5] [--json]

The corpus is this Python's own library, its text encoded beforehand. Each candidate of the portable
space, up to two million parameters, goes the way every trial goes, through the store and the worker
loop; the clock stops when its first update begins.

    cold     from starting a new interpreter for a worker
    fork     from asking the zygote for a worker until the worker says that it runs
    forked   the same, until its first candidate's first update
    warm     from claiming the next candidate, in a worker that has had one before

CPU time of a forked worker is its own and the zygote's share. The promise is a median of CPU time
under 50 ms for a fork and for the next candidate of a warm worker; between the two lies, once per
worker, opening the store. Wall time says the same on a machine that has nothing else to do.
"""

import argparse
import json
import os
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.tokenizer import Tokenizer
from archsmith.evaluators.base import Request, Result
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.runtime.parts import NOTE, dump_evaluator
from archsmith.runtime.processes import FreshProcesses, Starter, fork_is_safe
from archsmith.runtime.zygote import Zygote
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.store.records import JobRecord, JobState, NewJob
from archsmith.store.store import Store, connect
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe
from archsmith.trial import Proposal

PROMISED_MS = 50.0
VOCAB_SIZE = 4096
STUDY = "start"
WAIT_SECONDS = 300.0


class _FirstUpdate(Exception):  # noqa: N818 - a signal, not an error
    pass


class UntilFirstUpdate(TrunkTraining):
    """Ends when the first update would begin, and tells when that was."""

    type: Literal["until_first_update"] = "until_first_update"  # type: ignore[assignment]

    def evaluate(self, request: Request) -> Result:
        """See Evaluator."""
        reached: dict[str, float] = {}
        begun_cpu, update = time.process_time(), Learner.update

        def begin(*args: object, **settings: object) -> float:
            reached.update(wall=time.time(), cpu=time.process_time())
            raise _FirstUpdate

        Learner.update = begin  # type: ignore[method-assign]
        try:
            super().evaluate(request)
        except _FirstUpdate:
            pass
        finally:
            Learner.update = update  # type: ignore[method-assign]
        return Result(
            metrics={"bits_per_byte": 0.0, "train_seconds": 0.0},
            details={**reached, "begun_cpu": begun_cpu, "pid": os.getpid()},
        )


class Start(NamedTuple):
    """Milliseconds of one candidate."""

    wall_ms: float
    cpu_ms: float


def main() -> int:
    """Print the times, or JSON; 1 if the promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--cold", type=int, default=5, help="new processes (default: 5)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="candidate-start-") as folder:
        found = measure(Path(folder), options.candidates, options.cold)
    table = {kind: summary(starts) for kind, starts in found.items()}
    if options.json:
        print(json.dumps({**table, "promised_median_cpu_ms": PROMISED_MS}, indent=1))
    else:
        print(f"{'':8}{'number':>7}{'CPU ms':>9}{'p95':>7}{'wall ms':>10}{'p95':>7}")
        for kind, row in table.items():
            print(
                f"{kind:8}{row['number']:7.0f}{row['cpu_median_ms']:9.0f}{row['cpu_p95_ms']:7.0f}"
                f"{row['wall_median_ms']:10.0f}{row['wall_p95_ms']:7.0f}"
            )
    promised = [table[kind] for kind in ("fork", "warm") if kind in table]
    return int(any(row["cpu_median_ms"] >= PROMISED_MS for row in promised))


def measure(folder: Path, candidates: int, cold: int) -> dict[str, list[Start]]:
    """Starts of each kind; forked ones where forking is safe."""
    # workers import it from here, not from __main__
    from candidate_start import UntilFirstUpdate

    evaluator = UntilFirstUpdate(**prepare(folder), recipe=Recipe())
    queue = Queue(folder, dump_evaluator(evaluator))
    life_line = os.pipe()
    fresh = FreshProcesses(life_line[0])
    queue.run(fresh, 1)  # encodes the text
    found = {"cold": [start for _ in range(cold) for start in queue.run(fresh, 1)]}
    warm: Starter = fresh
    if fork_is_safe():
        zygote = Zygote(dump_evaluator(evaluator), life_line[0], threads=1, on_notice=print)
        queue.run(zygote, 1)  # waits until it is warm
        queue.forks.clear()
        before = cpu_seconds(zygote.pid)
        starts = [start for _ in range(candidates) for start in queue.run(zygote, 1)]
        share = 1e3 * (cpu_seconds(zygote.pid) - before) / candidates
        for kind, those in (("fork", queue.forks), ("forked", starts)):
            found[kind] = [start._replace(cpu_ms=start.cpu_ms + share) for start in those]
        warm = zygote
    found["warm"] = queue.run(warm, candidates + 1)[1:]
    if warm is not fresh:
        warm.close()
    for end in life_line:
        os.close(end)
    return found


def prepare(folder: Path) -> dict[str, Any]:
    """A corpus and its tokenizer, as settings of the evaluator."""
    files = str(Path(sysconfig.get_paths()["stdlib"]) / "asyncio")
    config = CorpusConfig(files=(files,), validation_fraction=0.1, test_fraction=0.1)
    corpus = Corpus.prepare(config, folder / "corpus")
    Tokenizer.train(corpus, vocab_size=VOCAB_SIZE).save(folder / "tokenizer.json")
    return {
        "corpus": corpus.directory,
        "tokenizer": folder / "tokenizer.json",
        "token_files": folder / "tokens",
        "device": "cpu",
    }


class Queue:
    """A study whose candidates are handed to workers; `forks`: how long these took to begin."""

    def __init__(self, folder: Path, evaluator: dict[str, Any]) -> None:
        self._store: Store = connect(folder / "studies.db", create=True)
        self._store.create_study(STUDY, spec={}, seed=0)
        self._store.put_note(STUDY, NOTE, evaluator)
        self._space = presets.portable(
            max_params=2_000_000, vocabularies=(Vocabulary(VOCAB_SIZE, 256),)
        )
        self._rng = random.Random(0)
        self._added = 0
        self.forks: list[Start] = []
        self._errors: IO[bytes] = (folder / "errors").open("w+b")

    def run(self, starter: Starter, candidates: int) -> list[Start]:
        """How so many candidates start in one new worker."""
        numbers = [self._add() for _ in range(candidates)]
        asked = time.time()
        worker = starter.start(
            [self._store.url, STUDY, "--parent-pipe"], threads=1, errors=self._errors
        )
        while worker.pid is None and worker.poll() is None:
            time.sleep(0.0002)
        begun = Start(1e3 * (time.time() - asked), on_processor_ms(worker.pid))
        self.forks.append(begun)
        code = worker.wait(WAIT_SECONDS)
        self._errors.seek(0)
        assert code == 0, self._errors.read().decode()
        jobs = [self._store.trial(STUDY, number).jobs[0] for number in numbers]
        assert all(job.state is JobState.DONE for job in jobs), jobs[0].error
        return [self._start(job, asked if index == 0 else None) for index, job in enumerate(jobs)]

    def _start(self, job: JobRecord, asked: float | None) -> Start:
        """From when its process was asked for; None: from when the candidate was claimed."""
        told = job.details
        if asked is not None:
            return Start(1e3 * (told["wall"] - asked), 1e3 * told["cpu"])
        assert job.started is not None
        return Start(1e3 * (told["wall"] - job.started), 1e3 * (told["cpu"] - told["begun_cpu"]))

    def _add(self) -> int:
        number, self._added = self._added, self._added + 1
        job = NewJob(number=number, rung=0, train_bytes=10_000, fraction=1.0)
        added = False
        while not added:  # a point may come up twice
            proposal = Proposal(architecture=self._space.sample(self._rng), strategy="random")
            added = self._store.add_trial(
                STUDY, proposal, number=number, static_metrics={}, job=job
            )
        return number


def cpu_seconds(pid: int) -> float:
    """Spent by a process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def on_processor_ms(pid: int | None) -> float:
    """Milliseconds a process has run, as Linux counts them; 0 where it does not."""
    path = Path(f"/proc/{pid}/schedstat")
    return int(path.read_text().split()[0]) / 1e6 if path.exists() else 0.0


def summary(starts: Sequence[Start]) -> dict[str, float]:
    """Medians and 95th percentiles."""
    row = {"number": float(len(starts))}
    for clock, times in zip(("wall", "cpu"), zip(*starts, strict=True), strict=True):
        row[f"{clock}_median_ms"] = statistics.median(times)
        row[f"{clock}_p95_ms"] = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return row


if __name__ == "__main__":
    sys.exit(main())

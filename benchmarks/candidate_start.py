"""How long a candidate takes until its first update, in a worker that is already warm.

    python benchmarks/candidate_start.py [--candidates 20] [--json]

The corpus is this Python's own library. Each candidate of the portable space, up to two million
parameters, goes the way every trial goes (`trunk_training`): token files opened, network made,
optimizer set up; the clock stops when the first update begins. The first candidate of a process
also pays for imports and for reading its vocabulary's tokenizer and is told apart. CPU time, one
thread; the promise is a median under 50 ms.
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
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.tokenizer import Tokenizer
from archsmith.evaluators.base import Request
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe
from archsmith.trial import Rung

PROMISED_MS = 50.0
VOCAB_SIZE = 4096


class _FirstUpdate(Exception):  # noqa: N818 - a signal, not an error
    pass


def main() -> int:
    """Print the times, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="candidate-start-") as folder:
        times = measure(Path(folder), options.candidates)
    warm = times[1:]
    result = {
        "candidates": len(warm),
        "first_ms": times[0],
        "median_ms": statistics.median(warm),
        "p95_ms": statistics.quantiles(warm, n=20)[-1],
        "promised_median_ms": PROMISED_MS,
    }
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print(
            f"{len(warm)} candidates: median {result['median_ms']:.0f} ms, "
            f"p95 {result['p95_ms']:.0f} ms of CPU until the first update "
            f"(the process's first: {times[0]:.0f} ms)"
        )
    return int(result["median_ms"] >= PROMISED_MS)


def measure(folder: Path, candidates: int) -> list[float]:
    """Milliseconds of CPU until the first update of each candidate."""
    files = str(Path(sysconfig.get_paths()["stdlib"]) / "asyncio")
    config = CorpusConfig(files=(files,), validation_fraction=0.1, test_fraction=0.1)
    corpus = Corpus.prepare(config, folder / "corpus")
    tokenizer = Tokenizer.train(corpus, vocab_size=VOCAB_SIZE)
    tokenizer.save(folder / "tokenizer.json")
    space = presets.portable(max_params=2_000_000, vocabularies=(Vocabulary(VOCAB_SIZE, 256),))
    evaluator = TrunkTraining(
        corpus=corpus.directory,
        tokenizer=folder / "tokenizer.json",
        token_files=folder / "tokens",
        recipe=Recipe(),
    )
    rng = random.Random(0)
    reached = 0.0

    def begin(*args: object, **settings: object) -> float:
        nonlocal reached
        reached = time.process_time()
        raise _FirstUpdate

    Learner.update = begin  # type: ignore[method-assign]
    times = []
    for number in range(candidates + 1):
        request = Request(
            architecture=space.sample(rng),
            rung=Rung(index=0, fraction=1.0, train_bytes=10_000),
            seed=number,
            checkpoint_dir=folder / str(number),
            num_threads=1,
        )
        started = time.process_time()
        try:
            evaluator.evaluate(request)
        except _FirstUpdate:
            times.append(1e3 * (reached - started))
    return times


if __name__ == "__main__":
    sys.exit(main())

"""CPU seconds to a fixed held-out level of real text, beside Hugging Face's Trainer.

    python benchmarks/time_to_loss.py [--quick] [--text PATH] [--seeds 2] [--runs FILE]
                                      [--output FILE] [--json]

Two networks (128 wide on bytes, 256 wide with 4096 entries), each trained by every engine on the
same windows in the same order: the Trainer with LlamaForCausalLM in float32 and with bf16=True, a
loop written by hand, and ours with AdamW and with Muon. All warm up over 40 updates and then stay
at their rate: with a cooldown the level at a moment would depend on the end that was planned.

The target is what the Trainer at its best rate reaches after the updates given, the worst of its
seeds. Rates are searched by factors of two from a good guess until both neighbours of the best are
worse, four at most; behind the best so far from a third of the run on, a rate is given up. The
search is not counted. Trainer bf16 takes the Trainer's rate. The Trainer at the rate it has when
nobody sets one, 5e-5, is shown too.

The clock is the processor's, one thread, held-out scoring left out. Seconds to the target are
interpolated between two looks. With --runs every training is written to FILE and found there when
the script is started again.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from engines import CPU_NETWORKS, HF, HF_BF16, OURS, OURS_MUON, PLAIN, Network
from loss_runs import Goal, Point, run
from train_speed import add_output_options, describe, quiet, write
from training_text import make_text

ENGINES = (HF, HF_BF16, PLAIN, OURS, OURS_MUON)
LIBRARIES = ((HF, HF_BF16), (PLAIN,), (OURS, OURS_MUON))
FIRST_RATES = {HF: 2e-3, PLAIN: 2e-3, OURS: 1e-3, OURS_MUON: 1e-2}
DEFAULT_RATE = 5e-5  # TrainingArguments.learning_rate
MOST_RATES = 4
EVERY = 10  # updates between two looks at held-out text
HELD_OUT_WINDOWS = 16
LONGEST = 1.5  # of the Trainer's updates, after which an engine has not reached the target
UPDATES = {128: 200, 256: 100}  # of the Trainer, by width
QUICK_UPDATES = 60


class Bench:
    """One network: asks worker processes for trainings, and keeps what they answer."""

    def __init__(self, network: Network, options: argparse.Namespace) -> None:
        self.network = network
        self.updates = options.updates or UPDATES[network.hidden_size]
        self.seeds = list(range(options.seeds))
        self._options = options
        self._connections: dict[str, Connection] = {}
        self._kept = list(_read(options.runs)) if options.runs else []

    def train(
        self,
        engine: str,
        *,
        rate: float,
        seed: int,
        target: float | None = None,
        rival: dict[int, float] | None = None,
    ) -> list[Point]:
        """One training, or what is known of it from an earlier start of the script."""
        key = {
            "text": self._options.text,
            "hidden_size": self.network.hidden_size,
            "updates": self.updates,
            "engine": engine,
            "rate": rate,
            "seed": seed,
        }
        for entry in self._kept:
            if entry["key"] == key:
                return [Point(*point) for point in entry["points"]]
        longest = self.updates if target is None else round(LONGEST * self.updates)
        if rival and target is not None and min(rival.values()) <= target:
            longest = max(rival)  # whoever needs more updates is not better
        goal = Goal(longest, EVERY, target, rival or {})
        connection = self._connect(engine)
        connection.send((engine, self.network, rate, seed, goal))
        points = connection.recv()
        if self._options.runs:
            with self._options.runs.open("a") as file:
                file.write(json.dumps({"key": key, "points": points}) + "\n")
        last = points[-1]
        self._say(
            f"  {engine:16} rate {rate:<7g} seed {seed}: {last.bits_per_byte:.3f} bits per byte "
            f"after {last.update} updates, {last.cpu_seconds:.1f} s"
        )
        return points

    def search(
        self, engine: str, target: float | None
    ) -> tuple[float, list[list[Point]], list[float]]:
        """The best rate, its runs of all seeds, and the rates tried."""
        tried: dict[float, list[Point]] = {}

        def badness(rate: float) -> float:
            if rate not in tried:
                best = min(tried, key=lambda one: _badness(tried[one], target), default=None)
                rival = {} if best is None else {p.update: p.bits_per_byte for p in tried[best]}
                tried[rate] = self.train(engine, rate=rate, seed=0, target=target, rival=rival)
            return _badness(tried[rate], target)

        best, step = FIRST_RATES[engine], 2.0
        badness(best)
        while len(tried) < MOST_RATES and not self._options.quick:
            if badness(best * step) < badness(best):
                best *= step
            elif step > 1 and best / step not in tried:
                step = 1 / step
            else:
                break
        rates = sorted(tried)
        return best, [tried[best], *self._others(engine, best, target)], rates

    def results(self) -> dict[str, Any]:
        """What every engine needed to the target."""
        self._say(
            f"\n{self.network.architecture().summary()}, {self.updates} updates of the Trainer "
            f"(CPU seconds, held-out text)"
        )
        rate, runs, rates = self.search(HF, None)
        target = max(points[-1].bits_per_byte for points in runs)
        self._say(f"  target: {target:.4f} bits per byte")
        found = {HF: self._summary(rate, runs, rates, target)}
        runs = [self.train(HF_BF16, rate=rate, seed=0, target=target)]
        runs += self._others(HF_BF16, rate, target)
        found[HF_BF16] = self._summary(rate, runs, [rate], target)
        for engine in (PLAIN, OURS, OURS_MUON):
            rate, runs, rates = self.search(engine, target)
            found[engine] = self._summary(rate, runs, rates, target)
        untouched = None
        if not self._options.quick:
            points = self.train(HF, rate=DEFAULT_RATE, seed=0)
            untouched = {"rate": DEFAULT_RATE, "points": points}
        self.close()
        return {
            "architecture": self.network.architecture().summary(),
            "updates": self.updates,
            "target_bits_per_byte": target,
            "engines": found,
            "untouched_rate": untouched,
        }

    def close(self) -> None:
        """End the workers."""
        for connection in set(self._connections.values()):
            connection.send(None)
        self._connections.clear()

    def _others(self, engine: str, rate: float, target: float | None) -> Iterator[list[Point]]:
        return (self.train(engine, rate=rate, seed=seed, target=target) for seed in self.seeds[1:])

    def _summary(
        self, rate: float, runs: list[list[Point]], rates: list[float], target: float
    ) -> dict[str, Any]:
        reached = [crossing(points, target) for points in runs]
        return {
            "rate": rate,
            "rates_tried": rates,
            "cpu_seconds": [one and one.cpu_seconds for one in reached],
            "updates": [one and one.update for one in reached],
            "points": runs,
        }

    def _connect(self, engine: str) -> Connection:
        if engine not in self._connections:
            names = next(names for names in LIBRARIES if engine in names)
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, self._options), daemon=True).start()
            theirs.close()  # so that the end of the process is noticed
            self._connections.update(dict.fromkeys(names, ours))
        return self._connections[engine]

    def _say(self, line: str) -> None:
        if not self._options.json:
            print(line, flush=True)


def serve(connection: Connection, options: argparse.Namespace) -> None:
    """Trainings in a process of its own per library, as told."""
    torch.set_num_threads(1)
    while (order := connection.recv()) is not None:
        engine, network, rate, seed, goal = order
        text = make_text(
            options.text,
            options.folder,
            vocab_size=network.vocab_size,
            context_tokens=network.context_tokens,
            held_out_windows=HELD_OUT_WINDOWS,
        )
        with quiet():
            points = run(engine, network, text, rate=rate, seed=seed, goal=goal)
        connection.send(points)


def crossing(points: list[Point], target: float) -> Point | None:
    """Where a run first met the target, by a straight line between two looks; None: nowhere."""
    before = None
    for point in points:
        if point.bits_per_byte <= target:
            if before is None:
                return point
            share = (before.bits_per_byte - target) / (before.bits_per_byte - point.bits_per_byte)
            return Point(
                round(before.update + share * (point.update - before.update)),
                before.cpu_seconds + share * (point.cpu_seconds - before.cpu_seconds),
                target,
            )
        before = point
    return None


def _badness(points: list[Point], target: float | None) -> float:
    """Lower is better: updates to the target, beyond all of those the level at the end."""
    met = None if target is None else crossing(points, target)
    if met is not None:
        return float(met.update)
    return 1e6 * (1 + points[-1].bits_per_byte)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def print_table(result: dict[str, Any]) -> None:
    """Medians with their range over seeds, and ratios."""
    engines = result["engines"]
    print(f"\n{result['architecture']}: to {result['target_bits_per_byte']:.3f} bits per byte")
    medians = {name: _median(one["cpu_seconds"]) for name, one in engines.items()}
    for name, one in engines.items():
        if medians[name] is None:
            print(f"  {name:16} not reached (rate {one['rate']:g})")
            continue
        least, most = min(one["cpu_seconds"]), max(one["cpu_seconds"])
        ratios = ", ".join(
            f"{medians[peer] / medians[name]:.2f}x {peer}"
            for peer in (HF, HF_BF16, PLAIN)
            if medians[peer] is not None
        )
        print(
            f"  {name:16} {medians[name]:7.1f} s ({least:.1f} to {most:.1f})  "
            f"{statistics.median(one['updates']):.0f} updates at {one['rate']:g}  {ratios}"
        )
    if result["untouched_rate"] is not None:
        last = Point(*result["untouched_rate"]["points"][-1])
        print(
            f"  {HF} at its untouched rate of {DEFAULT_RATE:g}: {last.bits_per_byte:.3f} bits per "
            f"byte after {last.update} updates and {last.cpu_seconds:.1f} s"
        )


def _median(values: list[float | None]) -> float | None:
    if not values or None in values:
        return None
    return statistics.median(values)


def main() -> None:
    """Train two networks with every engine and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="file or folder of text (part of Python's own library)")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each engine (2)")
    parser.add_argument("--updates", type=int, help="of the Trainer, for every network")
    parser.add_argument("--hidden-sizes", type=int, nargs="+", choices=(128, 256))
    parser.add_argument("--runs", type=Path, help="file that keeps every training, to resume")
    parser.add_argument("--quick", action="store_true", help="one network, one seed, no search")
    add_output_options(parser)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.hidden_sizes, options.updates = 1, [128], QUICK_UPDATES
    if not options.json:
        minutes = "1 minute" if options.quick else "12 minutes"
        print(f"torch {torch.__version__}, one thread, CPU clock; about {minutes}")
    torch.set_num_threads(1)
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="time-to-loss-") as folder:
        options.folder = Path(folder)
        results = [
            Bench(network, options).results()
            for network in CPU_NETWORKS
            if options.hidden_sizes is None or network.hidden_size in options.hidden_sizes
        ]
    report = describe() | {
        "benchmark": "time_to_loss",
        "command": " ".join(["python", "benchmarks/time_to_loss.py", *sys.argv[1:]]),
        "text": options.text or "Python's own library",
        "seeds": options.seeds,
        "wall_seconds": time.time() - started,
        "results": results,
    }
    write(report, options)
    if not options.json:
        for result in results:
            print_table(result)


if __name__ == "__main__":
    main()

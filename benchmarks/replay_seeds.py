"""One search after another on recorded tables, kept seed by seed: stop it and start it again.

    python benchmarks/replay_seeds.py FOLDER RESULTS --run macro --strategy law_guided --seeds 100
    python benchmarks/replay_seeds.py FOLDER RESULTS --summary

RESULTS is a folder of JSON lines, one file per comparison and strategy, one line per seed: the
measure after each evaluation and CPU seconds. Seeds that are there already are not repeated. The
summary has every strategy's mean with its 95 % interval over the seeds it has, and its paired
difference to `--first` over the seeds that both have. FOLDER: see `replay_tables.py`.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from replay_tables import DESCRIPTIONS, RUNS

from archsmith.errors import ArchsmithError
from archsmith.replay.curves import Truth, mean_interval
from archsmith.replay.description import read_description
from archsmith.replay.outcome import show_interval
from archsmith.replay.repeat import search_table
from archsmith.replay.run import read_strategy
from archsmith.replay.table import Table, load_table

NAMES = {
    "_".join((run.table.removeprefix("nas_bench_").removeprefix("lts_gpt2_"), *run.objectives)): run
    for run in RUNS
}


def load(folder: Path, name: str) -> Table:
    run = NAMES[name]
    path = next(iter(folder.glob(f"{run.table}.*")), None)
    if path is None:
        raise ArchsmithError(f"{folder} has no table {run.table}")
    description = read_description(DESCRIPTIONS / f"{run.table}.toml")
    return load_table(path, description, objectives=run.objectives)


def read(path: Path) -> dict[int, dict[str, object]]:
    """Lines by seed; one that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found[record["seed"]] = record
    return found


# a seed -> rows in the order of their training, and what else is to be kept of it
Once = Callable[[int], tuple[list[int], dict[str, object]]]


def keep(results: Path, name: str, arm: str, once: Once, truth: Truth, seeds: range) -> None:
    """Add what is missing of one arm."""
    path = results / f"{name}--{arm.replace(':', '_').replace('=', '-')}.jsonl"
    known = read(path)
    for seed in seeds:
        if seed in known:
            continue
        start = time.process_time()
        rows, more = once(seed)
        seconds = time.process_time() - start
        curve = [round(value, 6) for value in truth.curve(rows, seed=seed).tolist()]
        with path.open("a") as lines:
            record = {"seed": seed, "curve": curve, "cpu_seconds": round(seconds, 2), **more}
            record["strategy"] = arm
            lines.write(json.dumps(record) + "\n")
        print(f"{name} {arm} {seed}: {seconds:.1f} s", file=sys.stderr)


def read_arms(results: Path, name: str) -> dict[str, dict[int, dict[str, object]]]:
    """Lines by seed of every strategy there is, by its name and settings."""
    arms = {}
    for path in sorted(results.glob(f"{name}--*.jsonl")):
        known = read(path)
        if known:
            label = path.stem.partition("--")[2]
            arms[str(next(iter(known.values())).get("strategy", label))] = known
    return arms


def search(folder: Path, results: Path, name: str, strategy: str, seeds: range) -> None:
    """Add what is missing of a strategy."""
    table, arm = load(folder, name), read_strategy(strategy)

    def once(seed: int) -> tuple[list[int], dict[str, object]]:
        return search_table(table, arm, n_trials=max(NAMES[name].at), seed=seed).rows, {}

    keep(results, name, strategy, once, Truth(table), seeds)


def summary(results: Path, first: str, names: list[str]) -> None:
    """Markdown tables on stdout."""
    for name in names:
        arms = read_arms(results, name)
        if not arms:
            continue
        at = NAMES[name].at
        measure = "regret" if len(NAMES[name].objectives) == 1 else "hypervolume share"
        head = [f"{measure} after {step}" for step in at]
        columns = ["strategy", "seeds", *head, f"minus {first}, after {at[-1]}", "ms/proposal"]
        print(f"\n### {name}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
        for arm, known in arms.items():
            curves = np.array([known[seed]["curve"] for seed in sorted(known)], dtype=float)
            cells = [show_interval(mean_interval(curves[:, step - 1])) for step in at]
            both = sorted(set(known) & set(arms.get(first, {})))
            paired = ""
            if arm != first and both:
                own = np.array([known[seed]["curve"][at[-1] - 1] for seed in both])
                other = np.array([arms[first][seed]["curve"][at[-1] - 1] for seed in both])
                paired = show_interval(mean_interval(own - other), signed=True)
            seconds = np.median([known[seed]["cpu_seconds"] for seed in known])
            each = f"{1e3 * float(seconds) / max(at):.0f}"
            print(f"| {' | '.join([arm, str(len(known)), *cells, paired, each])} |")


def write_csv(results: Path, names: list[str], path: Path) -> None:
    """One row per comparison, strategy and seed, the measure where figures are told."""
    with path.open("w", newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(["comparison", "strategy", "seed", "evaluations", "measure", "cpu_seconds"])
        for name in names:
            for strategy, known in read_arms(results, name).items():
                for seed, record in sorted(known.items()):
                    curve, seconds = record["curve"], record["cpu_seconds"]
                    assert isinstance(curve, list)
                    lines.writerows(
                        (name, strategy, seed, step, curve[step - 1], seconds)
                        for step in NAMES[name].at
                    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the recorded tables")
    parser.add_argument("results", type=Path, help="folder of the results")
    parser.add_argument("--run", action="append", choices=list(NAMES), help="all if not told")
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--csv", type=Path, help="write every seed's figures there")
    parser.add_argument("--first", default="law_guided", help="strategy others are compared with")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    names = given.run or list(NAMES)
    for name in names:
        for strategy in given.strategy:
            search(given.folder, given.results, name, strategy, range(given.seeds))
    if given.csv:
        write_csv(given.results, names, given.csv)
    if given.summary:
        summary(given.results, given.first, names)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ArchsmithError as error:
        sys.exit(f"error: {error}")

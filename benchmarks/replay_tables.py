"""Search strategies beside Optuna's on recorded tables of trained models, in one run.

    python benchmarks/replay_tables.py FOLDER --repeats 100 --n-jobs 2 --json

FOLDER holds the tables that `benchmarks/replay_descriptions` describes, each under the name of its
description (`nas_bench_macro.csv.gz`, ...); those it lacks are passed over. Where a table is
complete, one objective tells the regret after 50 and 100 evaluations and two the share of the true
front's hypervolume after 200. Repeats are paired by seed; intervals are 95 %, over repeats.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from archsmith.errors import ArchsmithError
from archsmith.replay.description import read_description
from archsmith.replay.outcome import Replay, replay_json, table_rows
from archsmith.replay.run import read_strategy, replay
from archsmith.replay.table import load_table

DESCRIPTIONS = Path(__file__).parent / "replay_descriptions"
STRATEGIES = (
    "random",
    "regularized_evolution",
    "local_search",
    "nsga2",
    "bananas",
    "controller",
    "optuna_tpe",
    "optuna_nsga2",
)


class Run(NamedTuple):
    """A table with the objectives of one comparison, and when figures are told."""

    table: str
    objectives: tuple[str, ...]
    at: tuple[int, ...]


RUNS = (
    Run("nas_bench_macro", ("accuracy",), (50, 100)),
    Run("nas_bench_graph_arxiv", ("accuracy",), (50, 100)),
    Run("nas_bench_macro", ("accuracy", "flops"), (50, 100, 200)),
    Run("nas_bench_graph_arxiv", ("accuracy", "params_m"), (50, 100, 200)),
    Run("nas_bench_graph_arxiv", ("accuracy", "latency_ms"), (50, 100, 200)),
    Run("ec_nas", ("accuracy", "energy_wh"), (50, 100, 200)),
    Run("lts_gpt2_wikitext103", ("perplexity", "num_params"), (10, 20)),
    Run("lts_gpt2_wikitext103", ("perplexity", "train_seconds"), (10, 20)),
    Run("lts_gpt2_lm1b", ("perplexity", "num_params"), (10, 20)),
    Run("lts_gpt2_lm1b", ("perplexity", "train_seconds"), (10, 20)),
)


def main() -> int:
    """Run the comparisons; tables on stdout, progress on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the recorded tables")
    parser.add_argument("--strategy", action="append", help="instead of the usual ones")
    parser.add_argument("--table", action="append", help="only these tables")
    parser.add_argument("--objectives", choices=("one", "two"), help="only such comparisons")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    given = parser.parse_args()
    strategies = {text: read_strategy(text) for text in given.strategy or STRATEGIES}
    found: list[dict[str, Any]] = []
    for run in RUNS:
        path = next(iter(given.folder.glob(f"{run.table}.*")), None)
        several = len(run.objectives) > 1
        if given.objectives and several != (given.objectives == "two"):
            continue
        if path is None or (given.table and run.table not in given.table):
            continue
        start = time.monotonic()
        table = load_table(
            path,
            read_description(DESCRIPTIONS / f"{run.table}.toml"),
            objectives=run.objectives,
        )
        result = replay(
            table,
            strategies,
            n_trials=max(run.at),
            repeats=given.repeats,
            seed=given.seed,
            n_jobs=given.n_jobs,
            checkpoints=run.at,
        )
        print(f"{run.table}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        if given.json:
            found.append(replay_json(result))
        else:
            show(result)
    if given.json:
        print(json.dumps(found, indent=2))
    return 0


def show(result: Replay) -> None:
    """One comparison as a Markdown table."""
    header, rows = table_rows(result)
    print(f"\n{result.measure_words}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(f"\n{result.sentence}.", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ArchsmithError as error:
        sys.exit(f"error: {error}")

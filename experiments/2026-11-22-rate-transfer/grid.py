"""The two rates apart at the base shape: matrices by rest, at two lengths of training.

    python experiments/2026-11-22-rate-transfer/grid.py DATA --work OUT

As run.py, with the defaults of Muon's recipe at factor 1; lines go to OUT/grid.jsonl.
"""

import argparse
import json
import time
from pathlib import Path
from unittest.mock import patch

import run
import torch

from archsmith.train.recipe import Recipe

BASE_RATES = (0.01, 4e-3)
# updates of the trunk -> (matrices, rest), factors of the base rates
GRIDS = {
    125: (
        *((0.5, 0.5), (1, 1), (2, 2), (4, 4), (8, 8)),
        *((4, 1), (4, 2), (8, 2), (1, 4), (2, 4), (8, 4), (1, 8), (2, 8)),
    ),
    400: ((1, 1), (1, 8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with wikitext2")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpus and results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    tokens, held_out = run.prepare(options.data.resolve(), options.work)
    path = options.work / "grid.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    done = {tuple(json.loads(line)[name] for name in ("trunk", "matrix", "rest")) for line in lines}
    cell = run.Cell("muon", "dense", "house", *run.BASE, 0)
    for trunk, grid in GRIDS.items():
        for matrix, rest in grid:
            if (trunk, matrix, rest) in done:
                continue
            recipe = Recipe(
                learning_rate=matrix * BASE_RATES[0],
                embedding_learning_rate=rest * BASE_RATES[1],
                dtype="float32",
            )
            with (
                patch.object(run, "make_recipe", lambda cell, factor, recipe=recipe: recipe),
                patch.object(run, "TRUNK_UPDATES", trunk),
            ):
                row = run.train(cell, 1.0, tokens, held_out)
            row = {"trunk": trunk, "matrix": matrix, "rest": rest} | {
                name: row[name] for name in ("bits_per_byte", "cpu_seconds")
            }
            with path.open("a") as lines_out:
                lines_out.write(json.dumps(row) + "\n")
            print(time.strftime("%H:%M:%S"), *row.values(), flush=True)


if __name__ == "__main__":
    main()

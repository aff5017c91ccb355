"""How well a surrogate ranks networks of one size after few of them were trained.

    python experiments/2026-11-22-replay/ranks.py FOLDER --sets 25

FOLDER holds the recorded tables of LiteTransformerSearch. Of each set of drawn networks a surrogate
is fitted (what `law_guided` fits), the others are predicted, and Spearman's correlation with the
true perplexity is taken among those within 10 % of one another in non-embedding parameters (eight
at least); the mean over windows is a set's figure.

How far ranks can go is told by `--ceiling`: all networks are predicted by surrogates of the other
four fifths; and, were all of those errors noise of single training runs, this is how well even the
true means would rank what was measured.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from replay_tables import DESCRIPTIONS

from archsmith.replay.curves import mean_interval
from archsmith.replay.description import read_description
from archsmith.replay.outcome import show_interval
from archsmith.replay.table import load_table
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate

SIZE = "log_num_non_embedding_params"


def windows(sizes: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean correlation over the windows about each network."""
    found = []
    for size in sizes:
        near = np.flatnonzero(np.abs(sizes - size) < math.log(1.1))
        if len(near) >= 8:
            found.append(spearmanr(true[near], predicted[near]).statistic)
    return float(np.mean(found))


def ceiling(
    readings: list[Reading], sizes: np.ndarray, values: np.ndarray, *, folds: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of predictions from other folds and of true means, were errors noise; [repeats] each."""
    learned, limits = [], []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        fold_of = rng.permutation(len(readings)) % folds
        means = np.empty(len(readings))
        for fold in range(folds):
            kept = [readings[i] for i in np.flatnonzero(fold_of != fold)]
            left = np.flatnonzero(fold_of == fold)
            surrogate = fit_surrogate(kept, unit=3.0, calibrate=False)
            means[left] = surrogate.predict([readings[i] for i in left]).mean
        learned.append(windows(sizes, means, values))
        noise = np.std(values - means)
        noisy = [means + rng.normal(0.0, noise, len(means)) for _ in range(20)]
        limits.append(float(np.mean([windows(sizes, means, each) for each in noisy])))
    return np.array(learned), np.array(limits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=int, default=25)
    parser.add_argument("--table", nargs="+", default=["lts_gpt2_wikitext103", "lts_gpt2_lm1b"])
    parser.add_argument("--ceiling", action="store_true", help="only that, of --sets divisions")
    given = parser.parse_args()
    for name in given.table:
        description = read_description(DESCRIPTIONS / f"{name}.toml")
        path = next(given.folder.glob(f"{name}.*"))
        table = load_table(path, description, objectives=["perplexity"])
        points = table.space.points()
        readings = [
            Reading(table.space.features(p), math.log(table.scored[p.number, 0])) for p in points
        ]
        values = np.array([reading.value for reading in readings])
        sizes = np.array([reading.features[SIZE] for reading in readings])
        if given.ceiling:
            learned, limits = ceiling(readings, sizes, values, folds=5, repeats=given.sets)
            print(f"{name} four fifths {show_interval(mean_interval(learned))}")
            print(f"{name} if errors were noise {show_interval(mean_interval(limits))}")
            continue
        for count in (20, 80):
            found: dict[str, list[float]] = {"weighed": [], "process": [], "parameters": []}
            for seed in range(given.sets):
                order = np.random.default_rng(seed).permutation(len(points))
                some, left = [readings[i] for i in order[:count]], order[count:]
                arms = {"weighed": tuple(Kind), "process": (Kind.PROCESS,)}
                for arm, kinds in arms.items():
                    surrogate = fit_surrogate(
                        some, unit=3.0, kinds=kinds, law=arm == "weighed", calibrate=False
                    )
                    means = surrogate.predict([readings[i] for i in left]).mean
                    found[arm].append(windows(sizes[left], means, values[left]))
                found["parameters"].append(windows(sizes[left], -sizes[left], values[left]))
            for arm, each in found.items():
                print(f"{name} {count:3d} {arm:10s} {show_interval(mean_interval(np.array(each)))}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

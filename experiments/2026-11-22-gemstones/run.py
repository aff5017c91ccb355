"""How well a few trained networks of Gemstones tell of the others.

    python experiments/2026-11-22-gemstones/run.py FOLDER splits --splits 500
    python experiments/2026-11-22-gemstones/run.py FOLDER left-out
    python experiments/2026-11-22-gemstones/run.py FOLDER residuals

FOLDER holds `gemstones_hot.jsonl.gz` and `gemstones_cooldown.jsonl.gz`: one line per network and
token count with `run_name`, `width`, `depth`, `params_active_precise`, `tokens`, `final_loss`.
`splits`: nine networks drawn, the others predicted; rank correlation (Kendall's tau), coverage of
the intervals of 90 %, mean absolute error in nats. `left-out`: one network at a time, one size at a
time, and the largest size from the smaller ones. `residuals`: what the law leaves when fitted to
all, and how alike that is to what it left one reading earlier. Intervals are bootstrap intervals
over splits.
"""

import argparse
import gzip
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from archsmith.replay.curves import mean_interval
from archsmith.surrogate.law import fit_law, predict_law
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate

NATS = 3.0  # nats a token for one bit a byte: four and a half bytes a token
VOCABULARY = 50_304  # rows of the embedding and of the head, which the table counts with the rest
FITTED = 9
BILLIONS = {"hot": (50, 100, 200, 350), "cooldown": (33, 66, 99)}
BETWEEN = {"hot": 10, "cooldown": 11}  # billions of tokens between two readings
CLASSES = (75e6, 250e6, 750e6, 1.5e9)  # of all parameters, between the sizes that were trained


class Network(NamedTuple):
    """One trained network at one token count."""

    name: str
    reading: Reading
    proxy: float  # width^2 depth
    size_class: int


class Answer(NamedTuple):
    """What a model says of networks left out, [n] each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


Model = Callable[[Sequence[Reading], Sequence[Reading]], Answer]


def law(fitted: Sequence[Reading], left: Sequence[Reading]) -> Answer:
    forecast = predict_law(fit_law(fitted, unit=NATS), left)
    return Answer(forecast.mean, forecast.low, forecast.high)


def surrogate(fitted: Sequence[Reading], left: Sequence[Reading]) -> Answer:
    forecast = fit_surrogate(fitted, unit=NATS).predict(left)
    return Answer(forecast.mean, forecast.low, forecast.high)


def process(fitted: Sequence[Reading], left: Sequence[Reading]) -> Answer:
    forecast = fit_surrogate(fitted, unit=NATS, kinds=(Kind.PROCESS,), law=False).predict(left)
    return Answer(forecast.mean, forecast.low, forecast.high)


MODELS: dict[str, Model] = {"law": law, "surrogate": surrogate, "process": process}


def load(folder: Path, table: str, billions: int) -> list[Network]:
    """The networks of a table that have the token count."""
    found = []
    with gzip.open(folder / f"gemstones_{table}.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            if round(row["tokens"] / 1e9) != billions:
                continue
            total, width, depth = row["params_active_precise"], row["width"], row["depth"]
            features = {
                "log_num_non_embedding_params": math.log(total - 2 * VOCABULARY * width),
                "log_width_depth_ratio": math.log(width / depth),
            }
            size_class = int(np.searchsorted(CLASSES, total))
            found.append(
                Network(
                    f"{width}x{depth}",
                    Reading(features, row["final_loss"]),
                    width**2 * depth,
                    size_class,
                )
            )
    return found


def ask(
    model: Model, networks: list[Network], kept: list[int], left: list[int]
) -> dict[str, float]:
    """Error, coverage and rank correlation on the networks left out."""
    answer = model([networks[i].reading for i in kept], [networks[i].reading for i in left])
    values = np.array([networks[i].reading.value for i in left])
    tau = kendalltau(answer.mean, values).statistic if len(left) > 1 else math.nan
    return {
        "tau": float(tau),
        "coverage": float(np.mean((answer.low <= values) & (values <= answer.high))),
        "error": float(np.mean(np.abs(answer.mean - values))),
    }


def split(networks: list[Network], seed: int) -> tuple[list[int], list[int]]:
    """Networks to fit and networks to predict."""
    order = np.random.default_rng(seed).permutation(len(networks)).tolist()
    return order[:FITTED], order[FITTED:]


def splits(folder: Path, count: int, models: list[str]) -> None:
    """Random splits, one Markdown row per table, token count and model."""
    print("| table | billions of tokens | model | tau | minus width²·depth | coverage | error |")
    print("|" + " --- |" * 7)
    for table, billions in ((t, b) for t, every in BILLIONS.items() for b in every):
        networks = load(folder, table, billions)
        halves = [split(networks, seed) for seed in range(count)]
        proxy = np.array(
            [
                kendalltau(
                    [-networks[i].proxy for i in left], [networks[i].reading.value for i in left]
                ).statistic
                for _, left in halves
            ]
        )
        print(f"| {table} | {billions} | width²·depth | {figure(proxy)} | | | |")
        for name in models:
            start = time.process_time()
            found = [ask(MODELS[name], networks, kept, left) for kept, left in halves]
            of = {key: np.array([one[key] for one in found]) for key in found[0]}
            cells = (
                figure(of["tau"]),
                figure(of["tau"] - proxy, sign="+"),
                figure(100 * of["coverage"], digits=1) + " %",
                figure(of["error"], digits=5),
            )
            print(f"| {table} | {billions} | {name} | {' | '.join(cells)} |", flush=True)
            each = (time.process_time() - start) / count
            print(f"{table} {billions} {name}: {1e3 * each:.0f} ms a fit", file=sys.stderr)


def left_out(folder: Path, models: list[str]) -> None:
    """One network, one size class, and the largest class; one Markdown row each."""
    print("| table | billions of tokens | model | one network | one size | largest size |")
    print("|" + " --- |" * 6)
    for table, billions in ((t, b) for t, every in BILLIONS.items() for b in every):
        networks = load(folder, table, billions)
        every = range(len(networks))
        classes = sorted({network.size_class for network in networks})
        of_class = [[i for i in every if networks[i].size_class == c] for c in classes]
        ways = ([[i] for i in every], of_class, of_class[-1:])
        for name in models:
            cells = []
            for groups in ways:
                found = [
                    (ask(MODELS[name], networks, [i for i in every if i not in left], left), left)
                    for left in groups
                ]
                number = sum(len(left) for _, left in found)
                mean = sum(one["error"] * len(left) for one, left in found) / number
                inside = sum(one["coverage"] * len(left) for one, left in found)
                cells.append(f"{mean:.4f} ({inside:.0f} of {number})")
            print(f"| {table} | {billions} | {name} | {' | '.join(cells)} |", flush=True)


def residuals(folder: Path) -> None:
    """What the law leaves of the networks it was fitted to; one Markdown row per token count."""
    print("| table | billions of tokens | mean | correlation with the last | largest |")
    print("|" + " --- |" * 5)
    for table, billions in ((t, b) for t, every in BILLIONS.items() for b in every):
        left = []
        for count in (billions - BETWEEN[table], billions):
            networks = load(folder, table, count)
            readings = [network.reading for network in networks]
            fitted = predict_law(fit_law(readings, unit=NATS), readings).mean
            left.append(np.array([reading.value for reading in readings]) - fitted)
        before, now = left
        largest = ", ".join(
            f"{networks[i].name} {now[i]:+.3f}" for i in np.argsort(-np.abs(now))[:3].tolist()
        )
        alike = np.corrcoef(before, now)[0, 1]
        print(f"| {table} | {billions} | {np.abs(now).mean():.4f} | {alike:.2f} | {largest} |")


def figure(values: np.ndarray, *, digits: int = 4, sign: str = "") -> str:
    found = mean_interval(values)
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in found)
    return f"{mean} [{low}, {high}]" if found.has_ends else mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("splits", "left-out", "residuals"))
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    given = parser.parse_args()
    if given.what == "splits":
        splits(given.folder, given.splits, given.model)
    elif given.what == "left-out":
        left_out(given.folder, given.model)
    else:
        residuals(given.folder)


if __name__ == "__main__":
    main()

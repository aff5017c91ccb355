"""How many truths the surrogate's intervals of 90 % hold on recorded tables.

    python experiments/2026-11-22-intervals/intervals.py FOLDER --sets 40 --output intervals.jsonl

FOLDER holds the tables; those it lacks are passed over. The runs of the shipped prior stand beside,
and a planted law needs no table. Of each set of drawn networks a surrogate is fitted and the others
are predicted in four ways: `chosen` is the one kind (law, law and process, process) that says most
of readings left out, the law alone where a process is hardly better; `weighed` is the stack of all
kinds, as `fit_surrogate` makes it; each as it is and `calibrated`, all of it done again without
each fold. Each set is a line of the output, and what is there already is not run again.

The score of an interval (Gneiting & Raftery 2007, doi 10.1198/016214506000001437) is its width, and
20 times the distance of a truth outside; the smaller, the better.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
sys.path.append(str(Path(__file__).parents[1] / "2026-11-22-gemstones"))
sys.path.append(str(Path(__file__).parents[1] / "2026-11-22-prior"))
from fit import read_runs
from replay_tables import DESCRIPTIONS
from run import BILLIONS, NATS, load

from archsmith.replay.curves import mean_interval
from archsmith.replay.description import read_description
from archsmith.replay.table import load_table
from archsmith.surrogate.calibration import scale_of, scores_left_out
from archsmith.surrogate.kinds import weigh_kinds
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.stack import Stack
from archsmith.surrogate.surrogate import fit_surrogate

LOSSES = {
    "lts_gpt2_wikitext103": "perplexity",
    "lts_gpt2_lm1b": "perplexity",
    "lm_grid_97": "loss",
}
COUNTS = (10, 20, 40)
WAYS = ("chosen", "chosen, calibrated", "weighed", "weighed, calibrated")
TIE = 2.0  # of log density, by which a process has to be better than the law
OUTSIDE = 20.0  # 2 / (1 - 0.9)


class Source(NamedTuple):
    """Readings, numbers of them to fit, and what one bit per byte is in their unit."""

    name: str
    readings: list[Reading]
    counts: tuple[int, ...]
    unit: float


def sources(folder: Path) -> Iterator[Source]:
    """All that is there."""
    for name, loss in LOSSES.items():
        for path in folder.glob(f"{name}.*"):
            description = read_description(DESCRIPTIONS / f"{name}.toml")
            table = load_table(path, description, objectives=[loss])
            points = table.space.points()
            values = [table.scored[point.number, 0] for point in points]
            if loss == "perplexity":
                values = [math.log(value) for value in values]
            readings = [
                Reading(table.space.features(point), float(value))
                for point, value in zip(points, values, strict=True)
            ]
            yield Source(name, readings, COUNTS, NATS)
    for name, tokens in BILLIONS.items():
        for billions in tokens:
            if (folder / f"gemstones_{name}.jsonl.gz").is_file():
                readings = [network.reading for network in load(folder, name, billions)]
                yield Source(f"gemstones_{name} {billions}", readings, (9,), NATS)
    yield Source("prior", prior_readings(), COUNTS[:2], 1.0)
    yield Source("planted law", planted_readings(), COUNTS[:2], 1.0)


def planted_readings() -> list[Reading]:
    """A law of size and shape with other letters than the prior's, and a feature without effect."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        size, aspect = rng.uniform(-2, 4), rng.uniform(-1.8, 1.8)
        features = {
            "log_num_non_embedding_params": math.log(1e6) + size,
            "log_width_depth_ratio": math.log(30.0) + aspect,
            "useless": rng.uniform(-1, 1),
        }
        bits = 0.6 + 0.7 * math.exp(-0.35 * size) + 0.02 * aspect**2
        found.append(Reading(features, bits + 0.01 * rng.standard_normal()))
    return found


def prior_readings() -> list[Reading]:
    """The runs that the shipped prior is fitted to, those of a network on a corpus on one trunk."""
    found = []
    for one in read_runs(Path(__file__).parents[1] / "2026-11-22-prior" / "runs.csv"):
        run = one.run
        features = {
            "log_num_non_embedding_params": math.log(run.num_non_embedding_params),
            "log_width_depth_ratio": math.log(run.hidden_size / run.num_hidden_layers),
            "log_hidden_size": math.log(run.hidden_size),
            "log_vocab_size": math.log(run.vocab_size),
        }
        found.append(
            Reading(
                features,
                one.bits_per_byte,
                run.train_bytes,
                trunk=(one.corpus, *features.values()),
                corpus=one.corpus,
                corpus_bits_per_byte=run.corpus_bits_per_byte,
            )
        )
    return found


def draw(readings: list[Reading], count: int, seed: int) -> tuple[list[Reading], list[Reading]]:
    """At least so many readings on whole trunks, and the others."""
    trunks = [index if r.trunk is None else r.trunk for index, r in enumerate(readings)]
    names = list(dict.fromkeys(trunks))
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    kept: set[Any] = set()
    while sum(trunk in kept for trunk in trunks) < count:
        kept.add(order[len(kept)])
    pairs = list(zip(readings, trunks, strict=True))
    return [r for r, trunk in pairs if trunk in kept], [r for r, t in pairs if t not in kept]


def ask(source: Source, count: int, seed: int) -> dict[str, Any]:
    """One set: scale and mean error, coverage, width and score of the intervals, by way."""
    some, left = draw(source.readings, count, seed)
    values = np.array([reading.value for reading in left])
    answer: dict[str, Any] = {"source": source.name, "count": count, "seed": seed}
    seconds: dict[str, float] = {}
    for way in WAYS:
        start = time.process_time()
        chosen = way.startswith("chosen")
        kinds = (choose(some, source.unit),) if chosen else tuple(Kind)
        plain = fit_surrogate(some, unit=source.unit, kinds=kinds, calibrate=False)
        scale = 1.0
        if way.endswith("calibrated"):
            again = chosen_anew if chosen else weighed_anew
            scale = scale_of(scores_left_out(some, partial(again, unit=source.unit)))
        forecast = plain._replace(scale=scale).predict(left)
        seconds[way] = time.process_time() - start
        outside = np.maximum(forecast.low - values, 0) + np.maximum(values - forecast.high, 0)
        width = forecast.high - forecast.low
        answer[way] = {
            "kind": plain.description,
            "scale": scale,
            "error": float(np.abs(forecast.mean - values).mean()),
            "coverage": float(np.mean(outside == 0)),
            "width": float(width.mean()),
            "score": float((width + OUTSIDE * outside).mean()),
        }
    return answer | {"seconds": seconds}


def choose(readings: Sequence[Reading], unit: float) -> Kind:
    """The kind that says most of readings left out, the law where others hardly say more."""
    densities = weigh_kinds(readings, unit=unit).log_densities
    best = max(densities, key=lambda kind: densities[kind])
    return Kind.MEAN if densities[Kind.MEAN] >= densities[best] - TIE else best


def chosen_anew(readings: Sequence[Reading], *, unit: float) -> Stack:
    return weigh_kinds(readings, unit=unit, kinds=(choose(readings, unit),)).stack


def weighed_anew(readings: Sequence[Reading], *, unit: float) -> Stack:
    return weigh_kinds(readings, unit=unit).stack


def show(path: Path) -> None:
    """Markdown: a row per source and count, and what the fits took."""
    every = [json.loads(line) for line in path.read_text().splitlines()]
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for one in every:
        rows.setdefault((one["source"], one["count"]), []).append(one)
        if one["source"].startswith("gemstones"):
            pooled = (one["source"].split()[0] + ", pooled", one["count"])
            rows.setdefault(pooled, []).append(one)
    for measure in ("coverage", "score", "error"):
        ways = WAYS if measure != "error" else WAYS[::2]
        print(f"\n| table | fitted | sets | {' | '.join(ways)} | weighed minus chosen |")
        print("|" + " --- |" * (4 + len(ways)))
        for (name, count), sets in sorted(rows.items()):
            of = {way: np.array([one[way][measure] for one in sets]) for way in ways}
            apart = of[ways[-1]] - of[ways[len(ways) // 2 - 1]]
            if measure == "coverage":
                cells = [f"{figure(100 * each, 1)} %" for each in of.values()]
                cells.append(figure(100 * apart, 1, sign="+"))
            else:  # a few sets have wild scales: the middle one says what is usual
                cells = [f"{np.median(each):.4f} ({each.mean():.4f})" for each in of.values()]
                cells.append(figure(apart, 4, sign="+"))
            print(f"| {name} | {count} | {len(sets)} | {' | '.join(cells)} |")
    for way in WAYS:
        seconds = np.median([one["seconds"][way] for one in every])
        print(f"{way}: {seconds:.2f} s of CPU, median", file=sys.stderr)


def figure(values: np.ndarray, digits: int, *, sign: str = "") -> str:
    found = mean_interval(values)
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in found)
    return f"{mean} [{low}, {high}]" if found.has_ends else mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--source", nargs="+", help="only sources that begin so")
    parser.add_argument("--output", type=Path, required=True, help="a line per set")
    given = parser.parse_args()
    given.output.touch()
    with given.output.open() as lines:
        done = {(d["source"], d["count"], d["seed"]) for d in map(json.loads, lines)}
    found = [
        source
        for source in sources(given.folder)
        if not given.source or source.name.startswith(tuple(given.source))
    ]
    cells = [(source, count) for source in found for count in source.counts]
    for seed in range(given.sets):
        for source, count in cells:
            if (source.name, count, seed) not in done:
                line = json.dumps(ask(source, count, seed))
                with given.output.open("a") as lines:
                    lines.write(line + "\n")
    show(given.output)


if __name__ == "__main__":
    main()

"""Both optimizers at the rates the recipe ships with, over some thousand updates, on three corpora.

    python experiments/2026-11-22-optimizers/shipped_rates.py DATA --work OUT --seeds 1
        [--matrix-factor 2] [--rest-factor 2] [--corpora wikitext2]

DATA and the corpora are those of `run.py`, as is the comparison: Muon trains so many updates and is
cooled down; AdamW the same, and then as many more as its update was faster, measured in turns
beforehand. OUT/runs.jsonl gets a line per finished run; started again, it goes on where it was.
"""

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from run import OPTIMIZERS, Rates, Results, corpora, measure_speed, prepare, reading_of

from archsmith.data.intervals import paired_interval
from archsmith.data.protocol import Score

WIDTH = 128
TRUNK_UPDATES = 800  # and a fifth more of cooldown


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with wikitext2 and tinystories")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--corpora", nargs="+", help="all three if not told")
    parser.add_argument("--matrix-factor", type=float, default=1.0, help="of the shipped rate")
    parser.add_argument("--rest-factor", type=float, default=1.0, help="of the shipped rate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    results = Results(options.work / "runs.jsonl")
    key = {"stage": "speed", "width": WIDTH}
    speed = results.get(key, lambda: measure_speed(WIDTH))
    stops = {
        "muon": {"bytes": TRUNK_UPDATES},
        "adamw": {"bytes": TRUNK_UPDATES, "seconds": round(TRUNK_UPDATES * speed["ratio"])},
    }
    rates = Rates(options.matrix_factor, options.rest_factor)
    configs = corpora(options.data.resolve())
    for seed in options.seeds:
        for name in options.corpora or configs:
            config = configs[name]
            text = prepare(name, config, options.work)
            for optimizer in OPTIMIZERS:
                reading_of(
                    results,
                    "shipped",
                    optimizer,
                    WIDTH,
                    (name, text),
                    rates=rates,
                    seed=seed,
                    stops=stops[optimizer],
                )
    low, high = min(speed["ratios"]), max(speed["ratios"])
    print(f"\nan update with Muon: {speed['ratio']:.2f} ({low:.2f} to {high:.2f}) of AdamW's\n")
    rows = [row for row in results.rows if row["stage"] == "shipped"]
    same = [row for row in rows if Rates(row["matrix_factor"], row["rest_factor"]) == rates]
    print("\n".join(table(same)))
    write_csv(rows, options.work / "shipped_rates.csv")


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Muon less AdamW by corpus, seed and stop; intervals over blocks of held-out text."""
    lines = [
        "| corpus | seed | equal | updates of AdamW | Muon | AdamW | Muon - AdamW (95 %) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = {(r["corpus"], r["seed"], r["optimizer"]): r["readings"] for r in rows}
    for corpus, seed in dict.fromkeys((corpus, seed) for corpus, seed, _ in found):
        if (corpus, seed, "adamw") not in found:
            continue
        (muon,) = found[corpus, seed, "muon"]
        for adamw in found[corpus, seed, "adamw"]:
            gap = paired_interval(_score(muon), _score(adamw))
            lines.append(
                f"| {corpus} | {seed} | {adamw['stop']} | {adamw['updates']} "
                f"| {muon['bits_per_byte']:.4f} | {adamw['bits_per_byte']:.4f} "
                f"| {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) |"
            )
    return lines


def write_csv(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Every reading, without its blocks."""
    ran = ("optimizer", "corpus", "seed", "matrix_factor", "rest_factor")
    read = ("stop", "updates", "train_bytes", "cpu_seconds", "bits_per_byte")
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*ran, *read])
        for row in rows:
            for one in row["readings"]:
                writer.writerow([row[name] for name in ran] + [one[name] for name in read])


def _score(reading: dict[str, Any]) -> Score:
    return Score(
        bits_per_byte=reading["bits_per_byte"],
        nats=sum(reading["block_nats"]),
        num_bytes=sum(reading["block_bytes"]),
        num_tokens=1,
        context_tokens=1,
        stride_tokens=1,
        block_nats=tuple(reading["block_nats"]),
        block_bytes=tuple(reading["block_bytes"]),
    )


if __name__ == "__main__":
    main()

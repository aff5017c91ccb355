"""The tables and the figure of this experiment.

    python experiments/2026-11-22-optimizers/table.py [OUT]

OUT is the folder run.py wrote; its readings are copied into readings.csv and blocks.csv first.
Without it, these two as they are here.
"""

import csv
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from archsmith.data.intervals import paired_interval

HERE = Path(__file__).parent
READINGS, BLOCKS, SPEEDS = HERE / "readings.csv", HERE / "blocks.csv", HERE / "speeds.csv"
KEYS = ("stage", "optimizer", "width", "corpus", "seed", "matrix_factor", "rest_factor")
VALUES = ("stop", "updates", "train_bytes", "cpu_seconds", "bits_per_byte")
CORPORA = ("wikitext2", "tinystories", "python")
SWEPT = "wikitext2"
WIDTHS = (96, 192)
SEEDS = (1, 2)
LABELS = {"muon": "Muon", "adamw": "AdamW"}
STOPS = ("bytes", "seconds")
STAGES = {"final": 144, "long": 432}  # Muon's updates, cooldown included
Row = dict[str, str]
Key = tuple[int, str, int, str, str]  # width, corpus, seed, optimizer, stop


class Scored(NamedTuple):
    """Nats and bytes per block of held-out text."""

    block_nats: tuple[float, ...]
    block_bytes: tuple[int, ...]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Row]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def copy_runs(folder: Path) -> None:
    readings, blocks, speeds = [], [], []
    for line in (folder / "runs.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["stage"] == "speed":
            for number, ratio in enumerate(row["ratios"]):
                times = {f"{name}_ms": f"{ms:.1f}" for name, ms in row["update_ms"].items()}
                speeds.append(
                    {
                        "code": row.get("code", "run"),
                        "width": row["width"],
                        "round": number,
                        "ratio": f"{ratio:.4f}",
                        **times,
                    }
                )
            continue
        key = {name: row[name] for name in KEYS}
        for one in row["readings"]:
            values = {name: one[name] for name in VALUES}
            values["bits_per_byte"] = f"{one['bits_per_byte']:.5f}"
            values["cpu_seconds"] = f"{one['cpu_seconds']:.2f}"
            readings.append(key | values)
            if row["stage"] != "sweep":
                where = {name: row[name] for name in KEYS[:5]} | {"stop": one["stop"]}
                pairs = zip(one["block_nats"], one["block_bytes"], strict=True)
                for number, (nats, num_bytes) in enumerate(pairs):
                    blocks.append(
                        where | {"block": number, "nats": f"{nats:.3f}", "bytes": num_bytes}
                    )
    for path, rows in ((READINGS, readings), (BLOCKS, blocks), (SPEEDS, speeds)):
        write(path, rows)


def print_speeds() -> None:
    print("| code | width | ms per update, Muon | AdamW | ratio, median of rounds (range) |")
    print("| --- | --- | --- | --- | --- |")
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read(SPEEDS):
        groups[row["code"], row["width"]].append(row)
    for (code, width), own in groups.items():
        ratios = [float(row["ratio"]) for row in own]
        print(
            f"| {code} | {width} | {own[0]['muon_ms']} | {own[0]['adamw_ms']} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


def print_sweep() -> None:
    print("\n| optimizer | width | matrices x | rest x | bits per byte |")
    print("| --- | --- | --- | --- | --- |")
    rows = [row for row in read(READINGS) if row["stage"] == "sweep"]
    names = ("optimizer", "width", "matrix_factor", "rest_factor")
    for row in sorted(rows, key=lambda row: (row[names[0]], *(float(row[n]) for n in names[1:]))):
        print("| " + " | ".join(row[name] for name in (*names, "bits_per_byte")) + " |")


def scores(stage: str) -> dict[Key, Scored]:
    nats: dict[Key, list[float]] = defaultdict(list)
    sizes: dict[Key, list[int]] = defaultdict(list)
    for row in read(BLOCKS):
        if row["stage"] != stage:
            continue
        key = (int(row["width"]), row["corpus"], int(row["seed"]), row["optimizer"], row["stop"])
        nats[key].append(float(row["nats"]))
        sizes[key].append(int(row["bytes"]))
    return {key: Scored(tuple(nats[key]), tuple(sizes[key])) for key in nats}


def mean_score(found: list[Scored]) -> Scored:
    """Nats averaged over seeds, block by block."""
    nats = np.mean([one.block_nats for one in found], axis=0)
    return Scored(tuple(nats.tolist()), found[0].block_bytes)


def pairs_of(
    found: dict[Key, Scored], width: int, corpus: str, stop: str
) -> list[tuple[Scored, Scored]]:
    """Muon and AdamW, a pair for each seed."""
    return [
        (found[width, corpus, seed, "muon", "bytes"], found[width, corpus, seed, "adamw", stop])
        for seed in SEEDS
        if (width, corpus, seed, "muon", "bytes") in found
        and (width, corpus, seed, "adamw", stop) in found
    ]


def mean_pair(
    found: dict[Key, Scored], width: int, corpus: str, stop: str
) -> tuple[Scored, Scored] | None:
    pairs = pairs_of(found, width, corpus, stop)
    if not pairs:
        return None
    return mean_score([one for one, _ in pairs]), mean_score([other for _, other in pairs])


def bits(score: Scored) -> float:
    return sum(score.block_nats) / sum(score.block_bytes) / float(np.log(2))


def print_finals() -> None:
    print("\n| updates | width | corpus | equal | Muon | AdamW | Muon - AdamW (95 %) | each seed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for stage in STAGES:
        found = scores(stage)
        for width in WIDTHS:
            for corpus in CORPORA:
                for stop in STOPS:
                    print_final(found, width, corpus, stop, updates=STAGES[stage])


def print_final(
    found: dict[Key, Scored], width: int, corpus: str, stop: str, *, updates: int
) -> None:
    pairs, pair = pairs_of(found, width, corpus, stop), mean_pair(found, width, corpus, stop)
    if pair is None:
        return
    muon, adamw = pair
    interval = paired_interval(muon, adamw)
    each = ", ".join(f"{bits(one) - bits(other):+.3f}" for one, other in pairs)
    print(
        f"| {updates} | {width} | {corpus} | {stop} | {bits(muon):.3f} | {bits(adamw):.3f} | "
        f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f}) | {each} |"
    )


def print_seconds() -> None:
    """What the runs really took; how far bytes and seconds were equal."""
    print("\n| runs | width | corpus | optimizer | stop | updates | bytes of text | CPU seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in read(READINGS):
        if row["stage"] != "sweep":
            key = tuple(row[name] for name in ("stage", "width", "corpus", "optimizer", "stop"))
            groups[key].append(row)
    for key, rows in groups.items():
        seconds = ", ".join(f"{float(row['cpu_seconds']):.1f}" for row in rows)
        first = rows[0]
        print("| " + " | ".join((*key, first["updates"], first["train_bytes"], seconds)) + " |")


def draw(path: Path) -> None:
    """What the other rates do to each optimizer, and the comparison at the best ones."""
    rows = read(READINGS)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for optimizer, colour in (("muon", "C0"), ("adamw", "C1")):
        swept = sorted(
            (float(row["rest_factor"]), float(row["bits_per_byte"]))
            for row in rows
            if (row["stage"], row["optimizer"], row["width"], float(row["matrix_factor"]))
            == ("sweep", optimizer, str(WIDTHS[0]), 1.0)
        )
        left.plot(*zip(*swept, strict=True), "o-", color=colour, label=LABELS[optimizer])
    left.set_xscale("log", base=2)
    left.set_xlabel("factor on the rates of embeddings and norms")
    left.set_ylabel("held-out bits per byte, 144 updates")
    left.set_title(f"{SWEPT}, width {WIDTHS[0]}: equal bytes", fontsize=9)
    names, spots = [], 0
    for stage, updates in STAGES.items():
        found = scores(stage)
        for width in WIDTHS:
            for corpus in CORPORA:
                for stop, colour in zip(STOPS, ("C2", "C3"), strict=True):
                    pair = mean_pair(found, width, corpus, stop)
                    if pair is None:
                        continue
                    gap = paired_interval(*pair)
                    label = f"equal {stop}" if not spots or spots == 0.25 else None
                    right.errorbar(
                        gap.value,
                        -spots,
                        xerr=[[gap.value - gap.low], [gap.high - gap.value]],
                        fmt="o",
                        color=colour,
                        label=label,
                    )
                    spots += 0.25
                if spots % 1:
                    names.append((f"{corpus}, width {width}\n{updates} updates", -int(spots)))
                    spots = int(spots) + 1
    right.axvline(0, color="grey", linewidth=0.8)
    right.set_yticks([spot - 0.12 for _, spot in names], [name for name, _ in names], fontsize=8)
    right.set_xlabel("bits per byte, Muon - AdamW (left: Muon is better)")
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, loc="best" if axis is left else "lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    if len(sys.argv) > 1:
        copy_runs(Path(sys.argv[1]))
    print_speeds()
    print_sweep()
    print_finals()
    print_seconds()
    draw(HERE / "optimizers.png")


if __name__ == "__main__":
    main()

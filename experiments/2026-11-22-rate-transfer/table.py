"""The tables and the figure of this experiment.

    python experiments/2026-11-22-rate-transfer/table.py [OUT]

OUT is the folder run.py wrote; its runs are copied into runs.csv and grid.csv first. Without it,
these two as they are here.
"""

import csv
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
COLUMNS = (
    "optimizer",
    "kind",
    "rule",
    "width",
    "depth",
    "seed",
    "factor",
    "bits_per_byte",
    "updates",
    "cpu_seconds",
)
GRID_COLUMNS = ("trunk", "matrix", "rest", "bits_per_byte", "cpu_seconds")
BASE = (64, 4)
THRESHOLD = 0.005  # bits per byte of regret that is tolerated
SHAPES = ((32, 4), (64, 4), (128, 4), (64, 2), (64, 8))
RULES = {"raw": "shapes ignored", "house": "archsmith"}
Curve = dict[float, float]  # factor -> bits per byte


class Optimum(NamedTuple):
    factor: float
    bits_per_byte: float


def copy_runs(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    with (HERE / "runs.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            bits = row["bits_per_byte"]
            writer.writerow(row | {"bits_per_byte": "" if bits is None else f"{bits:.5f}"})
    grid = [json.loads(line) for line in (folder / "grid.jsonl").read_text().splitlines()]
    with (HERE / "grid.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, GRID_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"bits_per_byte": f"{row['bits_per_byte']:.5f}"} for row in grid)


def read_curves() -> dict[tuple[str, str, str, int], dict[tuple[int, int], Curve]]:
    """By optimizer, kind, rule and seed: by shape."""
    found: dict[tuple[str, str, str, int], dict[tuple[int, int], Curve]] = defaultdict(dict)
    with (HERE / "runs.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            arm = (row["optimizer"], row["kind"], row["rule"], int(row["seed"]))
            curve = found[arm].setdefault((int(row["width"]), int(row["depth"])), {})
            curve[float(row["factor"])] = float(row["bits_per_byte"] or "inf")
    return found


def parabola(curve: Curve) -> np.ndarray | None:
    """Through the best and its neighbours, in the factor's logarithm; None at an end."""
    factors = sorted(curve)
    at = factors.index(min(curve, key=lambda factor: curve[factor]))
    if not 0 < at < len(factors) - 1:
        return None
    near = factors[at - 1 : at + 2]
    return np.polyfit([math.log2(one) for one in near], [curve[one] for one in near], 2)


def optimum(curve: Curve) -> Optimum:
    fitted = parabola(curve)
    if fitted is None:
        best = min(curve, key=lambda factor: curve[factor])
        return Optimum(best, curve[best])
    top = -fitted[1] / (2 * fitted[0])
    return Optimum(2**top, float(np.polyval(fitted, top)))


def loss_at(curve: Curve, factor: float) -> float:
    """On the parabola between its points, on straight lines beyond."""
    fitted, best = parabola(curve), min(curve, key=lambda one: curve[one])
    if fitted is not None and best / 2 <= factor <= best * 2:
        return float(np.polyval(fitted, math.log2(factor)))
    factors = sorted(curve)
    logs = [math.log2(one) for one in factors]
    return float(np.interp(math.log2(factor), logs, [curve[one] for one in factors]))


def print_tables() -> None:
    curves = read_curves()
    print("| kind | rates | shape | best factor | against the base | its loss | regret |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (_, kind, rule, seed), shapes in curves.items():
        if seed or BASE not in shapes:
            continue
        base = optimum(shapes[BASE]).factor
        for shape in SHAPES:
            if shape not in shapes:
                continue
            best = optimum(shapes[shape])
            regret = loss_at(shapes[shape], base) - best.bits_per_byte
            cells = (
                kind,
                RULES[rule],
                f"{shape[1]}x{shape[0]}",
                f"{best.factor:.2f}",
                f"{best.factor / base:.2f}",
                f"{best.bits_per_byte:.4f}",
                f"{regret:.4f}" + (" over" if regret > THRESHOLD else ""),
            )
            print("| " + " | ".join(cells) + " |")
    print_halves(curves)
    print_noise(curves)


def print_halves(
    curves: dict[tuple[str, str, str, int], dict[tuple[int, int], Curve]],
) -> None:
    """Rates and initial scales apart, at factor 1."""
    for shape in SHAPES:
        losses = {
            rule: curves[("muon", "dense", rule, 0)].get(shape, {}).get(1.0)
            for rule in ("house", "rates", "scales", "level", "raw")
        }
        if losses["rates"] is not None:
            print(f"{shape[1]}x{shape[0]} at factor 1:", losses)


def print_noise(
    curves: dict[tuple[str, str, str, int], dict[tuple[int, int], Curve]],
) -> None:
    """What a second seed changes: all losses of a curve together, and the rest."""
    shifts, rests = [], []
    for (*arm, seed), shapes in curves.items():
        if not seed:
            continue
        first = curves[(arm[0], arm[1], arm[2], 0)]
        for shape, curve in shapes.items():
            changes = [curve[one] - first[shape][one] for one in curve if one in first[shape]]
            if len(changes) > 1:
                shifts.append(float(np.mean(changes)))
                rests += list(np.array(changes) - np.mean(changes))
            moved = optimum(curve).factor / optimum(first[shape]).factor
            print(f"{' '.join(arm)} {shape[1]}x{shape[0]}: optimum moved by {moved:.2f}")
    if rests:
        spread = math.sqrt(np.sum(np.square(rests)) / (len(rests) - len(shifts)))
        print(f"a curve moved by {np.std(shifts):.4f}; its points by {spread:.4f} beside that")


def draw(path: Path) -> None:
    curves = read_curves()
    kinds = [kind for kind in ("dense", "experts") if ("muon", kind, "house", 0) in curves]
    groups = (
        ("width, 4 layers", [(32, 4), (64, 4), (128, 4)]),
        ("depth, 64 wide", [(64, 2), (64, 4), (64, 8)]),
    )
    figure, axes = plt.subplots(
        len(kinds), 4, figsize=(13, 3.4 * len(kinds)), squeeze=False, sharex=True
    )
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.8, 3))
    for row, kind in zip(axes, kinds, strict=True):
        panels = [(group, rule) for group in groups for rule in RULES]
        for axis, ((name, shapes), rule) in zip(row, panels, strict=True):
            found = curves[("muon", kind, rule, 0)]
            for colour, shape in zip(colours, shapes, strict=True):
                if shape not in found:
                    continue
                factors = sorted(found[shape])
                label = f"{shape[1]} x {shape[0]}"
                losses = [found[shape][one] for one in factors]
                axis.plot(factors, losses, "o-", color=colour, label=label, markersize=3.5)
                best = optimum(found[shape])
                axis.plot(best.factor, best.bits_per_byte, "*", color=colour, markersize=11)
            axis.axvline(optimum(found[BASE]).factor, color="grey", linewidth=0.8, linestyle=":")
            axis.set_title(f"{kind}, {name}: {RULES[rule]}", fontsize=9)
            axis.set_xscale("log", base=2)
            axis.grid(alpha=0.25)
            axis.legend(fontsize=7, title="layers x width", title_fontsize=7)
        # one scale for before and after
        for pair in (row[:2], row[2:]):
            low = min(axis.get_ylim()[0] for axis in pair)
            high = max(axis.get_ylim()[1] for axis in pair)
            for axis in pair:
                axis.set_ylim(low, high)
        row[0].set_ylabel("held-out bits per byte, cooled down")
    for axis in axes[-1]:
        axis.set_xlabel("factor on all rates")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    if len(sys.argv) > 1:
        copy_runs(Path(sys.argv[1]))
    print_tables()
    draw(HERE / "transfer.png")


if __name__ == "__main__":
    main()

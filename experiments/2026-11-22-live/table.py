"""The certificate and the tables of `run.py`'s results.

    python table.py OUT [--csv runs.csv]

The primary comparison stands in `run.py` and its margin here, both from before the first run that
counts. Written anew at any moment: arms without a run yet are left out, seeds that only one of two
arms has are unpaired.
"""

import argparse
import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from run import BUDGET, LIMITS, PRIMARY, plan

from archsmith.errors import ConfigError
from archsmith.report.certificate import ArmRun, certify
from archsmith.report.study_report import Opening

MARGIN = 0.005  # bits per byte
COLUMNS = (
    "corpus",
    "arm",
    "seed",
    "bits_per_byte",
    "file_bytes",
    "cpu_seconds",
    "wall_seconds",
    "flops",
    "num_trials",
    "num_trained",
    "train_bytes",
    "epochs",
    "num_params",
    "num_non_embedding_params",
    "train_tokens_per_second",
    "architecture",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    order = {run: place for place, run in enumerate(plan())}
    found = [json.loads(path.read_text()) for path in options.output_dir.glob("results/*.json")]
    found.sort(key=lambda one: order[one["corpus"], one["arm"], one["seed"]])
    if not found:
        raise ConfigError(f"there are no results in {options.output_dir}; start run.py first")
    print(f"{len(found)} of {len(order)} runs, {BUDGET:.0f} CPU seconds each.\n")
    runs = [
        ArmRun(
            one["arm"],
            one["seed"],
            one["bits_per_byte"],
            one["cpu_seconds"],
            one["flops"],
            one["corpus"],
            curve_of(one),
        )
        for one in found
    ]
    openings = [
        Opening(one["test_opened"], f"{one['arm']}, seed {one['seed']}", one["corpus"])
        for one in found
    ]
    print(certify(runs, primary=PRIMARY, margin=MARGIN, openings=openings).markdown())
    for corpus in LIMITS:
        print(f"\n### {corpus}, at most {LIMITS[corpus]}\n")
        print("\n".join(rows([one for one in found if one["corpus"] == corpus])))
    if options.csv:
        write_csv(found, options.csv)


def curve_of(run: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Held-out bits per byte of the final training against all CPU seconds of the run; the seconds
    of a reading are those of training alone, so the last one stands at the run's end."""
    end = run["curve"][-1][1]
    return tuple((run["cpu_seconds"] - (end - seconds), bits) for _, seconds, bits in run["curve"])


def origin(run: dict[str, Any]) -> str:
    """Where the network handed over came from."""
    if "strategy_of_winner" not in run:
        best = min(run["trials"], key=lambda trial: trial["bits_per_byte"])
        return f"one shot, rates x{best['factor']:g}"
    strategy, note = run["strategy_of_winner"]
    words = "the suggestion" if strategy == "start" else note or strategy
    return f"trial {run['winner']['trial']}: {words}"


def rows(found: Iterable[dict[str, Any]]) -> list[str]:
    """One line a run."""
    lines = [
        "| arm | seed | bits per byte | network handed over | file bytes | trained | text read "
        "| tokens/s | CPU s | from |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one['arm']} | {one['seed']} | {one['bits_per_byte']:.4f} | {one['architecture']} "
        f"| {one['file_bytes']:,} | {one['num_trained']} | {one['train_bytes'] / 1e6:.1f} MB "
        f"({one['epochs']:.2f} epochs) | {one['train_tokens_per_second']:,.0f} "
        f"| {one['cpu_seconds']:.0f} | {origin(one)} |"
        for one in sorted(found, key=lambda one: (one["arm"], one["seed"]))
    ]
    return lines


def write_csv(found: Iterable[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()

"""Markdown tables of what the benchmarks wrote, for this folder's README.

    python benchmarks/results/table.py FOLDER

The folder holds train_speed.json, train_speed_cuda.json, step_breakdown.json, time_to_loss.json,
moe_layer.json and candidate_start.json, or some of them.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Report = dict[str, Any]


def spread(values: list[float], form: str = ".0f") -> str:
    """Median with the range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def table(headings: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Lines of one table."""
    yield "| " + " | ".join(headings) + " |"
    yield "| " + " | ".join("---" for _ in headings) + " |"
    yield from ("| " + " | ".join(row) + " |" for row in rows)


def train_speed(report: Report) -> Iterator[str]:
    """Tokens per second, ratios, share of the ceiling."""
    yield from where(report)
    for name, reason in report["left_out"].items():
        yield f"{name} was left out: {reason}."
    peers = ("Trainer", "Trainer bf16", "plain loop", "plain loop bf16", "LitGPT")
    for result in report["results"]:
        ceiling = statistics.median(result["ceiling_flops_per_second"])
        yield from ("", f"{result['architecture']}, {result['num_params'] / 1e6:.1f}M parameters,")
        yield f"ceiling {spread([c / 1e9 for c in result['ceiling_flops_per_second']])} GFLOP/s:"
        yield ""
        speeds = result["tokens_per_second"]
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        known = [peer for peer in peers if peer in speeds]
        rows = [
            [
                name,
                spread(values),
                *(f"{medians[name] / medians[peer]:.2f}" for peer in known),
                f"{medians[name] * result['train_flops_per_token'] / ceiling:.0%}",
            ]
            for name, values in speeds.items()
        ]
        headings = ["", "tokens/s", *(f"times {peer}" for peer in known), "of the ceiling"]
        yield from table(headings, rows)


def step_breakdown(report: Report) -> Iterator[str]:
    """Milliseconds of an update by part; one column per network and optimizer."""
    yield from where(report)
    results = report["results"]
    yield ""
    headings = [""] + [f"{r['architecture'].split(' · ')[0]} {r['optimizer']}" for r in results]
    rows = [
        [name]
        + [
            f"{r['parts'][name]['milliseconds']:.1f} "
            f"({r['parts'][name]['milliseconds'] / r['milliseconds']:.0%})"
            for r in results
        ]
        for name in results[0]["parts"]
    ]
    rows.append(
        ["whole update, ms"]
        + [spread([*r["milliseconds_range"], r["milliseconds"]]) for r in results]
    )
    rows.append(["of the ceiling"] + [f"{r['share_of_ceiling']:.0%}" for r in results])
    yield from table(headings, rows)


def time_to_loss(report: Report) -> Iterator[str]:
    """CPU seconds to the target."""
    yield from where(report)
    yield f"Text: {report['text']}; {report['seeds']} seeds."
    for result in report["results"]:
        target, engines = result["target_bits_per_byte"], result["engines"]
        yield from ("", f"{result['architecture']}, to {target:.3f} bits per byte:", "")
        medians = {
            name: None if None in one["cpu_seconds"] else statistics.median(one["cpu_seconds"])
            for name, one in engines.items()
        }
        rows = []
        for name, one in engines.items():
            if medians[name] is None:
                rows.append([name, f"{one['rate']:g}", "not reached", "", "", ""])
                continue
            ratios = [
                f"{medians[peer] / medians[name]:.2f}" if medians[peer] is not None else ""
                for peer in ("Trainer", "Trainer bf16")
            ]
            seconds, updates = spread(one["cpu_seconds"], ".1f"), spread(one["updates"])
            rows.append([name, f"{one['rate']:g}", seconds, updates, *ratios])
        headings = ["", "rate", "CPU seconds", "updates", "times Trainer", "times Trainer bf16"]
        yield from table(headings, rows)
        if result["untouched_rate"]:
            update, seconds, level = result["untouched_rate"]["points"][-1]
            yield ""
            yield (
                f"The Trainer at its untouched rate of {result['untouched_rate']['rate']:g}: "
                f"{level:.3f} bits per byte after {update} updates and {seconds:.1f} s."
            )


def moe_layer(report: Report) -> Iterator[str]:
    """Layers of experts beside transformers' and a dense one."""
    yield from where(report)
    yield ""
    rows = []
    for r in report["results"]:
        times = r["milliseconds"]["archsmith"]
        rows.append(
            [
                f"{r['family']} {r['dtype']}, {r['hidden_size']} wide, {r['num_experts']} experts",
                f"{times['median']:.1f} ({times['least']:.1f} to {times['most']:.1f})",
                f"{r['times_best_stock']:.2f}",
                f"{r['share_of_dense']:.0%}",
            ]
        )
    yield from table(["", "ms", "times the best stock block", "of dense speed"], rows)


STARTS = {
    "cold": "a new process, to its first update",
    "fork": "forked by a warm process, until it runs",
    "forked": "forked by a warm process, to its first update",
    "warm": "the next candidate of a worker, to its first update",
}


def candidate_start(report: Report) -> Iterator[str]:
    """Every kind of a candidate's start."""
    rows = []
    for name, words in STARTS.items():
        one = report[name]
        rows.append(
            [
                words,
                f"{one['number']:.0f}",
                *(
                    f"{one[f'{clock}_{what}_ms']:.0f}"
                    for clock in ("cpu", "wall")
                    for what in ("median", "p95")
                ),
            ]
        )
    headings = ["", "starts", "CPU ms, median", "CPU ms, p95", "wall ms, median", "wall ms, p95"]
    yield from table(headings, rows)
    yield ""
    yield (
        f"The aim: a median of {report['promised_median_cpu_ms']:.0f} ms of CPU, for the fork and "
        "for the next candidate."
    )


def where(report: Report) -> Iterator[str]:
    """Command, date, machine and versions."""
    if "command" not in report:
        return
    yield (
        f"`{report['command']}`, {report['date']}, {report['processor']}, {report['num_cores']} "
        f"cores, torch {report['torch']}, transformers {report['transformers']}, "
        f"archsmith in {report['dtype']}, {report['wall_seconds'] / 60:.0f} minutes."
    )


SECTIONS: dict[str, tuple[str, Callable[[Report], Iterator[str]]]] = {
    "train_speed": ("Training speed", train_speed),
    "train_speed_cuda": ("Training speed on a GPU", train_speed),
    "step_breakdown": ("What an update is spent on", step_breakdown),
    "time_to_loss": ("Time to a fixed loss", time_to_loss),
    "moe_layer": ("Layers of experts", moe_layer),
    "candidate_start": ("A candidate's start", candidate_start),
}


def page(folder: Path) -> str:
    """All tables of a folder."""
    lines: list[str] = []
    for stem, (heading, section) in SECTIONS.items():
        path = folder / f"{stem}.json"
        if path.exists():
            lines += [f"## {heading}", "", *section(json.loads(path.read_text())), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(Path(sys.argv[1])), end="")

"""Training speed beside Hugging Face's Trainer and loops written by hand, in one run.

    python benchmarks/train_speed.py [--device cpu|cuda] [--rounds 3] [--output FILE] [--json]

Same network, data and order; engines alternated in each round, each library in a process of its
own. On a processor: one thread, CPU clock. On a GPU: wall clock, the device synchronized before
each reading, networks of 1M to 300M parameters.

Printed: median tokens per second with the range over rounds, ratios, and the share of the ceiling:
model FLOPs per second over the fastest matrix products of either format, which take their turns in
the same rounds. The Trainer runs LlamaForCausalLM as it comes (float32, torch's
scaled_dot_product_attention) and with bf16=True, the plain loop (`plain_loop.py`) in float32 and
under autocast, on a GPU also compiled; LitGPT's loop runs where its package is installed
(`litgpt_loop.py`). Ours runs the same AdamW, and Muon for comparison, and AdamW compiled, as a
training on a processor is that lasts long enough to pay for it.
"""

import argparse
import contextlib
import io
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# what a killed compiler left half-written elsewhere does not concern us
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.mkdtemp(prefix="train-speed-compiled-"))

import torch
from engines import (
    CPU_NETWORKS,
    GPU_NETWORKS,
    HF,
    HF_BF16,
    LIBRARIES,
    PLAIN,
    PLAIN_AUTOCAST,
    Network,
    engines,
)

from archsmith.device.environment import environment
from archsmith.device.probe import probe
from archsmith.train.precision import choose_dtype, dtype_name

# matrix products of an update on a processor: [rows, inner] x [inner, columns]
PRODUCT_SIZES = ((1024, 128, 512), (1024, 256, 1024), (1024, 512, 2048))
PEERS = (HF, HF_BF16, PLAIN, PLAIN_AUTOCAST)


def serve(connection: Connection, network: Network, device: torch.device, names: list[str]) -> None:
    """A process of its own per library, so that neither profits from what the other sets."""
    torch.set_num_threads(1)
    known, _ = engines(device)
    made: dict[str, Any] = {}
    while (order := connection.recv()) is not None:
        name, steps = order
        with quiet():
            if name not in made:
                made[name] = known[name](network, device)
                made[name](network.batches(2))  # imports, compilers, allocator, caches
            seconds = made[name](network.batches(steps))
        if device.type == "cuda":
            torch.cuda.empty_cache()  # the next engine's process needs the room
        connection.send(seconds)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries print: the Trainer tells a summary of each run."""
    logging.disable(logging.WARNING)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def describe(device: torch.device | None = None) -> dict[str, Any]:
    """Versions, machine and what our engine computes in, for a report."""
    device = device or torch.device("cpu")
    here = environment()
    found = {
        "date": date.today().isoformat(),
        "device": "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "processor": here.processor,
        "num_cores": here.num_cores,
        "python": here.python,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "dtype": dtype_name(choose_dtype("auto", device)),
        "num_threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found["cuda"] = torch.version.cuda
    return found


def measure(
    network: Network, device: torch.device, *, rounds: int, seconds: float
) -> tuple[dict[str, list[float]], list[float]]:
    """Tokens per second of every engine, and FLOPs per second of the fastest products.

    One number per round each, engines alternated.
    """
    known, _ = engines(device)
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for library in LIBRARIES:
        names = [name for name in library if name in known]
        if not names:
            continue
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, network, device, names)))
        processes[-1].start()
        theirs.close()  # so that the end of the process is noticed
        connections.update(dict.fromkeys(names, ours))

    def run(name: str, steps: int) -> float:
        connections[name].send((name, steps))
        return connections[name].recv()

    steps = {name: max(8, round(seconds * 4 / run(name, 4))) for name in connections}
    found: dict[str, list[float]] = {name: [] for name in connections}
    ceilings = []
    for _ in range(rounds):
        ceilings.append(ceiling(device))
        for name in connections:
            tokens = steps[name] * network.tokens_per_update
            found[name].append(tokens / run(name, steps[name]))
    for connection in set(connections.values()):
        connection.send(None)
    for process in processes:
        process.join()
    return found, ceilings


def ceiling(device: torch.device) -> float:
    """FLOPs per second of the fastest products, with one thread on a processor."""
    if device.type == "cpu":
        profile = probe(device, repeats=5, sizes=PRODUCT_SIZES, threads=(1,))
    else:
        profile = probe(device, repeats=5)
    return profile.ceiling(1) or 0.0


def print_result(result: dict[str, Any]) -> None:
    """Medians, ranges and ratios of one network."""
    most = statistics.median(result["ceiling_flops_per_second"])
    print(
        f"\n{result['architecture']}, {result['batch_size']} windows of "
        f"{result['context_tokens']} tokens, ceiling {most / 1e9:.0f} GFLOP/s"
    )
    speeds = result["tokens_per_second"]
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, values in speeds.items():
        share = medians[name] * result["train_flops_per_token"] / most
        ratios = ", ".join(
            f"{medians[name] / medians[peer]:.2f}x {peer}" for peer in PEERS if peer in medians
        )
        print(
            f"  {name:19} {medians[name]:9.0f} tokens/s  ({min(values):.0f} to "
            f"{max(values):.0f})  {ratios}, {share:.0%} of the ceiling",
            flush=True,
        )


def write(report: dict[str, Any], options: argparse.Namespace) -> None:
    """To the file and to standard output, where they were asked for."""
    text = json.dumps(report, indent=1)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")
    if options.json:
        print(text)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Where the report goes."""
    parser.add_argument("--output", type=Path, help="write the report to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a sentence where the device is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, … (cpu)")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of each engine (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds a repeat (5)")
    parser.add_argument("--max-params", type=float, help="leave out larger networks")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    try:
        options.device = torch.device(options.device)
    except RuntimeError:
        parser.error(f"--device: '{options.device}' is no device; cpu and cuda are")
    if options.device.type not in ("cpu", "cuda"):
        parser.error(f"--device: {options.device} is not measured here; cpu and cuda are")
    if options.device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (options.device.index or 0) >= count:
            parser.error(
                f"--device: {options.device} was asked for, and torch {torch.__version__} sees "
                f"{count} CUDA devices here"
            )
    options.networks = [
        network
        for network in (CPU_NETWORKS if options.device.type == "cpu" else GPU_NETWORKS)
        if options.max_params is None or network.architecture().num_params <= options.max_params
    ]
    if not options.networks:
        parser.error(f"--max-params: no network has at most {options.max_params:g} parameters")
    return options


def main() -> None:
    """Measure the device's networks and print what was found."""
    options = parse()
    torch.set_num_threads(1)
    device = options.device
    known, skipped = engines(device)
    # a repeat of an engine takes its seconds; a network also 40 s of imports and first updates
    estimate = len(options.networks) * (options.rounds * (options.seconds * len(known) + 4) + 40)
    if not options.json:
        print(
            f"torch {torch.__version__}, {device}, archsmith in {describe(device)['dtype']}; "
            f"about {estimate / 60:.0f} minutes"
        )
        for name, reason in skipped.items():
            print(f"{name} is left out: {reason}", flush=True)
    started, results = time.time(), []
    for network in options.networks:
        architecture = network.architecture()
        speeds, ceilings = measure(network, device, rounds=options.rounds, seconds=options.seconds)
        results.append(
            {
                "architecture": architecture.summary(),
                "num_params": architecture.num_params,
                "batch_size": network.batch_size,
                "context_tokens": network.context_tokens,
                "train_flops_per_token": 3 * architecture.flops_per_token(),
                "ceiling_flops_per_second": ceilings,
                "tokens_per_second": speeds,
            }
        )
        if not options.json:
            print_result(results[-1])
    report = describe(device) | {
        "benchmark": "train_speed",
        "command": " ".join(["python", "benchmarks/train_speed.py", *sys.argv[1:]]),
        "left_out": skipped,
        "wall_seconds": time.time() - started,
        "results": results,
    }
    write(report, options)


if __name__ == "__main__":
    main()

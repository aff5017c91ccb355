"""Where an update's time goes: ours, by category, beside the ceiling.

    python benchmarks/step_breakdown.py [--rounds 5] [--output FILE] [--json]

One thread, CPU clock. Whole updates are timed undisturbed; in other updates of the same rounds
every torch operation is timed by itself and counted to the part of the update it belongs to. What
the operations leave of the undisturbed time is dispatch: Python, autograd, allocation. A profiler
would do the same, but keeps so much memory that it slows what it measures.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engines import CPU_NETWORKS, Network
from torch.utils._python_dispatch import TorchDispatchMode
from train_speed import add_output_options, ceiling, describe, write

from archsmith.model.kernels.blocked_attention import BlockedAttention
from archsmith.model.kernels.head import HeadLoss
from archsmith.train.learner import Learner
from archsmith.train.optimizers.adamw import AdamW
from archsmith.train.optimizers.muon import Muon
from archsmith.train.precision import choose_dtype
from archsmith.train.recipe import Recipe
from archsmith.train.weights import FlatWeights

FORWARD, BACKWARD = "matrix products forward", "matrix products backward"
ATTENTION, HEAD = "attention", "head: products"
SOFTMAX = "head: softmax, cross-entropy"
ELEMENTWISE = "norms, rotary, activation, residual"
GRADIENTS = "gradients: gather, norm, clip"
ORTHOGONAL, ADAMW = "optimizer: Muon", "optimizer: AdamW"
DISPATCH = "dispatch"
CATEGORIES = (FORWARD, BACKWARD, ATTENTION, HEAD, SOFTMAX, ELEMENTWISE, GRADIENTS)
CATEGORIES += (ORTHOGONAL, ADAMW, DISPATCH)
PRODUCTS = ("aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.linear", "aten._grouped_mm")


class Ledger(TorchDispatchMode):
    """CPU seconds of every operation that torch dispatches, by category."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.part: str | None = None
        self.backward = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        started = time.process_time()
        found = func(*args, **(kwargs or {}))
        elapsed = time.process_time() - started
        self.seconds[self._category(str(func))] += elapsed
        return found

    def _category(self, name: str) -> str:
        product = name.startswith(PRODUCTS)
        if self.part == HEAD:
            return HEAD if product else SOFTMAX
        if self.part is not None:
            return self.part
        if product:
            return BACKWARD if self.backward else FORWARD
        return GRADIENTS if name.startswith(("aten.norm", "aten.linalg")) else ELEMENTWISE


@contextlib.contextmanager
def parts_known_to(ledger: Ledger) -> Iterator[None]:
    """Tell the ledger which part of the update runs, for as long as this is open."""

    def within(part: str | None, method: Callable[..., Any], *, ends: bool = False) -> Any:
        def timed(*args: Any, **settings: Any) -> Any:
            before, ledger.part = ledger.part, part
            try:
                return method(*args, **settings)
            finally:
                # after the gradients are gathered: their norm and their clipping
                ledger.part = GRADIENTS if ends else before

        return timed

    replaced: list[tuple[type, str, Any]] = []

    def replace(owner: type, name: str, part: str, *, ends: bool = False) -> None:
        original = owner.__dict__[name]
        replaced.append((owner, name, original))
        function = original.__func__ if isinstance(original, staticmethod) else original
        wrapped = within(part, function, ends=ends)
        setattr(owner, name, staticmethod(wrapped) if function is not original else wrapped)

    for owner, part in ((BlockedAttention, ATTENTION), (HeadLoss, HEAD)):
        replace(owner, "forward", part)
        replace(owner, "backward", part)
    replace(FlatWeights, "take_gradients", GRADIENTS, ends=True)
    replace(Muon, "step", ORTHOGONAL)
    replace(AdamW, "step", ADAMW)
    backward = torch.Tensor.backward

    def in_backward(*args: Any, **settings: Any) -> None:
        ledger.backward = True
        try:
            backward(*args, **settings)
        finally:
            ledger.backward = False

    torch.Tensor.backward = in_backward  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        for owner, name, original in replaced:
            setattr(owner, name, original)


def measure(network: Network, optimizer: str, *, rounds: int) -> dict[str, Any]:
    """Milliseconds of an update by category, medians over rounds, and the share of the ceiling."""
    architecture = network.architecture()
    cpu = torch.device("cpu")
    recipe = Recipe.model_validate({"optimizer": optimizer})
    dtype = choose_dtype("auto", cpu)
    learner = Learner(architecture, recipe=recipe, seed=0, device=cpu, dtype=dtype)
    batches = network.batches(8)
    number = 0

    def update() -> float:
        nonlocal number
        started = time.process_time()
        learner.update(batches[number % len(batches)], number=number, factor=1.0)
        number += 1
        return 1e3 * (time.process_time() - started)

    for _ in range(3):
        update()
    whole, ceilings = [], []
    spent: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    for _ in range(rounds):
        ceilings.append(ceiling(cpu))
        whole.append(statistics.median(update() for _ in range(5)))
        found = []
        for _ in range(3):
            ledger = Ledger()
            with parts_known_to(ledger), ledger:
                update()
            found.append(ledger.seconds)
        for name in CATEGORIES[:-1]:
            spent[name].append(1e3 * statistics.median(one[name] for one in found))
        counted = sum(spent[name][-1] for name in CATEGORIES[:-1])
        spent[DISPATCH].append(whole[-1] - counted)
    flops = 3 * architecture.flops_per_token() * network.tokens_per_update
    total = statistics.median(whole)
    return {
        "architecture": architecture.summary(),
        "optimizer": optimizer,
        "milliseconds": total,
        "milliseconds_range": (min(whole), max(whole)),
        "share_of_ceiling": flops / statistics.median(ceilings) / total * 1e3,
        "ceiling_flops_per_second": ceilings,
        "parts": {
            name: {
                "milliseconds": statistics.median(values),
                "least": min(values),
                "most": max(values),
            }
            for name, values in spent.items()
        },
    }


def print_result(result: dict[str, Any]) -> None:
    """One update's parts."""
    least, most = result["milliseconds_range"]
    print(
        f"\n{result['architecture']}, {result['optimizer']}: {result['milliseconds']:.0f} ms an "
        f"update ({least:.0f} to {most:.0f}), {result['share_of_ceiling']:.0%} of the ceiling"
    )
    for name, part in result["parts"].items():
        share = part["milliseconds"] / result["milliseconds"]
        print(
            f"  {name:36} {part['milliseconds']:7.1f} ms {share:6.1%}  "
            f"({part['least']:.1f} to {part['most']:.1f})"
        )


def main() -> None:
    """Measure two networks with both optimizers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="repeats (5)")
    add_output_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, results = time.time(), []
    for network in CPU_NETWORKS:
        for optimizer in ("adamw", "muon"):
            results.append(measure(network, optimizer, rounds=options.rounds))
            if not options.json:
                print_result(results[-1])
    report = describe() | {
        "benchmark": "step_breakdown",
        "command": " ".join(["python", "benchmarks/step_breakdown.py", *sys.argv[1:]]),
        "wall_seconds": time.time() - started,
        "results": results,
    }
    write(report, options)


if __name__ == "__main__":
    main()

"""Mixture-of-experts blocks beside transformers' own: same weights, same tokens, one run.

    python benchmarks/moe_layer.py [--quick] [--rounds 7] [--output FILE] [--json]

One thread, CPU clock (the neighbours of a shared machine move the wall clock by twice), forward and
backward with the gradients of input and all weights, engines alternated in each round, each in a
process of its own as each keeps compiled kernels. The peers are the blocks of PhiMoE, Mixtral and
OLMoE with transformers' eager and grouped_mm experts, without training noise. Every call gets other
tokens, as in training, so that the numbers of rows of experts are new ones. Outputs are compared
before anything is timed.

"Of dense" is the time of our dense gated block with the same active FLOPs over ours.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor, nn
from train_speed import add_output_options, describe, write

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.model.feed_forwards.gated_mlp import GatedMlpModule
from archsmith.model.feed_forwards.mixture_of_experts import MixtureOfExpertsModule
from archsmith.model.kernels.fast import FAST
from archsmith.train.allocator import keep_freed_memory
from archsmith.train.weights import FlatWeights

TOP_K = 2
POOL = 8  # batches' worth of tokens that each call draws from
EAGER, GROUPED = "transformers eager", "transformers grouped_mm"
OURS, DENSE = "archsmith", "dense"
PROCESSES = ((OURS, DENSE), (EAGER,), (GROUPED,))
# hidden size -> width of an expert, 1.375 times as much or a multiple of 64 near it
WIDTHS = {128: 192, 256: 352, 512: 704}

Engine = Callable[[Tensor], Tensor]


class Case(NamedTuple):
    """One line of the table."""

    family: str
    dtype: torch.dtype
    hidden_size: int
    num_experts: int
    num_tokens: int

    def __str__(self) -> str:
        return (
            f"{self.family:8} {str(self.dtype).removeprefix('torch.'):8} "
            f"d {self.hidden_size:3}  experts {self.num_experts:2}  tokens {self.num_tokens}"
        )


class Family(NamedTuple):
    """A stock block: where it is, how its router is named, and what it does in our words."""

    folder: str
    block: str
    config: str
    router: str
    spec: dict[str, Any]


FAMILIES = {
    "PhiMoE": Family(
        "phimoe", "PhimoeSparseMoeBlock", "PhimoeConfig", "router", {"router": "sparsemixer"}
    ),
    "Mixtral": Family(
        "mixtral", "MixtralSparseMoeBlock", "MixtralConfig", "gate", {"norm_topk_prob": True}
    ),
    "OLMoE": Family(
        "olmoe", "OlmoeSparseMoeBlock", "OlmoeConfig", "gate", {"norm_topk_prob": False}
    ),
}


def our_block(case: Case) -> MixtureOfExpertsModule:
    """Our block with random weights on flat buffers, as the trainer keeps them."""
    spec = MixtureOfExperts(
        num_experts=case.num_experts,
        num_experts_per_tok=TOP_K,
        moe_intermediate_size=WIDTHS[case.hidden_size],
        **FAMILIES[case.family].spec,
    )
    return _filled(MixtureOfExpertsModule(spec, case.hidden_size), case)


def dense_block(case: Case) -> GatedMlpModule:
    """A gated block as wide as the experts a token goes through."""
    spec = GatedMlp(intermediate_size=TOP_K * WIDTHS[case.hidden_size])
    return _filled(GatedMlpModule(spec, case.hidden_size), case)


def stock_block(case: Case, implementation: str) -> nn.Module:
    """transformers' block with our weights."""
    import importlib

    family, ours = FAMILIES[case.family], our_block(case)
    stem = f"transformers.models.{family.folder}"
    config_class = getattr(
        importlib.import_module(f"{stem}.configuration_{family.folder}"), family.config
    )
    block_class = getattr(importlib.import_module(f"{stem}.modeling_{family.folder}"), family.block)
    number = "num_experts" if family.folder == "olmoe" else "num_local_experts"
    config = config_class(
        hidden_size=case.hidden_size,
        intermediate_size=WIDTHS[case.hidden_size],
        num_experts_per_tok=TOP_K,
        num_attention_heads=4,
        num_key_value_heads=4,
        **{number: case.num_experts},
    )
    config._experts_implementation = implementation
    block = block_class(config).to(case.dtype).eval()
    experts = ours.experts
    with torch.no_grad():
        getattr(block, family.router).weight.copy_(ours.gate.weight)
        block.experts.gate_up_proj.copy_(torch.cat((experts.gate_proj, experts.up_proj), dim=1))
        block.experts.down_proj.copy_(experts.down_proj)
    return block


def make_engine(name: str, case: Case) -> tuple[list[Tensor], Engine]:
    """The trained weights of an implementation, and what it does with tokens."""
    if name in (OURS, DENSE):
        ours = our_block(case) if name == OURS else dense_block(case)
        return _trained(ours), lambda x: ours(x, kernels=FAST)
    block = stock_block(case, "eager" if name == EAGER else "grouped_mm")
    return _trained(block), block


class Tokens:
    """Normal tokens; each draw [1, N, D] is another choice of them."""

    def __init__(self, case: Case) -> None:
        self._generator = torch.Generator().manual_seed(1)
        shape = (POOL * case.num_tokens, case.hidden_size)
        self._pool = torch.randn(shape, generator=self._generator).to(case.dtype)
        self._num_tokens = case.num_tokens

    def draw(self) -> Tensor:
        """Tokens that want a gradient."""
        chosen = torch.randperm(len(self._pool), generator=self._generator)[: self._num_tokens]
        return self._pool[None, chosen].requires_grad_()


def serve(connection: Connection) -> None:
    """Make engines and time them as told: (name, case) -> an output, (name, n) -> n times."""
    torch.set_num_threads(1)
    keep_freed_memory()
    made: dict[str, tuple[Tokens, list[Tensor], Engine, Tensor]] = {}
    while (order := connection.recv()) is not None:
        name, what = order
        if isinstance(what, Case):
            tokens = Tokens(what)
            weights, engine = make_engine(name, what)
            with torch.no_grad():
                connection.send(engine(tokens.draw().detach().clone()).float().numpy())
            made[name] = (tokens, weights, engine, torch.randn_like(tokens.draw()))
        else:
            connection.send([_call(*made[name]) for _ in range(what)])


def _call(tokens: Tokens, weights: list[Tensor], engine: Engine, direction: Tensor) -> float:
    x = tokens.draw()
    started = time.process_time()
    torch.autograd.grad(engine(x), [x, *weights], direction)
    return time.process_time() - started


def measure(
    case: Case, connections: dict[str, Connection], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """CPU milliseconds of forward and backward, one median per engine and round."""

    def ask(name: str, what: Any) -> Any:
        connections[name].send((name, what))
        return connections[name].recv()

    outputs = {name: torch.from_numpy(ask(name, case)) for name in connections}
    tolerance = 1e-4 if case.dtype == torch.float32 else 0.05
    for name in (OURS, GROUPED):
        torch.testing.assert_close(
            outputs[name], outputs[EAGER], rtol=tolerance, atol=tolerance, msg=name
        )
    repeats = {
        name: max(2, round(seconds / min(ask(name, 3))))  # caches, allocator
        for name in connections
    }
    found: dict[str, list[float]] = {name: [] for name in connections}
    for _ in range(rounds):
        for name in connections:
            found[name].append(1e3 * statistics.median(ask(name, repeats[name])))
    return found


def summarize(case: Case, found: dict[str, list[float]]) -> dict[str, Any]:
    """Medians with their range over rounds, and the two ratios."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    flops = 3 * 2 * 3 * TOP_K * WIDTHS[case.hidden_size] * case.hidden_size * case.num_tokens
    return {
        "family": case.family,
        "dtype": str(case.dtype).removeprefix("torch."),
        "hidden_size": case.hidden_size,
        "moe_intermediate_size": WIDTHS[case.hidden_size],
        "num_experts": case.num_experts,
        "num_experts_per_tok": TOP_K,
        "num_tokens": case.num_tokens,
        "milliseconds": {
            name: {"median": medians[name], "least": min(values), "most": max(values)}
            for name, values in found.items()
        },
        # of paired rounds: what disturbs a round disturbs all its engines
        "times_best_stock": statistics.median(
            min(eager, grouped) / ours
            for eager, grouped, ours in zip(found[EAGER], found[GROUPED], found[OURS], strict=True)
        ),
        "share_of_dense": statistics.median(
            dense / ours for dense, ours in zip(found[DENSE], found[OURS], strict=True)
        ),
        "dense_gflops": flops / medians[DENSE] / 1e6,
    }


def cases(*, quick: bool, hidden_sizes: list[int]) -> list[Case]:
    """The table's lines."""
    if quick:
        return [
            Case(family, dtype, 256, 8, 1024)
            for dtype in (torch.float32, torch.bfloat16)
            for family in FAMILIES
        ]
    return [
        Case(family, dtype, hidden_size, num_experts, num_tokens)
        for dtype in (torch.float32, torch.bfloat16)
        for hidden_size in hidden_sizes
        for num_experts in (8, 16)
        for num_tokens in (1024, 2048)
        for family in FAMILIES
    ]


def _trained(module: nn.Module) -> list[Tensor]:
    return [weight for weight in module.parameters() if weight.requires_grad]


def _filled(module: Any, case: Case) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            draw = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(draw * parameter.shape[-1] ** -0.5)
    FlatWeights(module, dtype=case.dtype)
    return module


def start() -> tuple[dict[str, Connection], list[Any]]:
    """The processes, and the connection to each engine's."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for names in PROCESSES:
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs,)))
        processes[-1].start()
        connections.update(dict.fromkeys(names, ours))
    return connections, processes


def main() -> None:
    """Measure every case and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="repeats of each engine (7)")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU seconds a repeat (0.1)")
    parser.add_argument(
        "--hidden-sizes", type=int, nargs="+", choices=list(WIDTHS), default=list(WIDTHS)
    )
    parser.add_argument("--quick", action="store_true", help="one size")
    add_output_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.time()
    connections, processes = start()
    results = []
    if not options.json:
        print(f"torch {torch.__version__}, one thread, CPU milliseconds forward and backward")
    for case in cases(quick=options.quick, hidden_sizes=options.hidden_sizes):
        found = measure(case, connections, rounds=options.rounds, seconds=options.seconds)
        results.append(summarize(case, found))
        if not options.json:
            print_line(case, results[-1])
    for connection in set(connections.values()):
        connection.send(None)
    for process in processes:
        process.join()
    report = describe() | {
        "benchmark": "moe_layer",
        "command": " ".join(["python", "benchmarks/moe_layer.py", *sys.argv[1:]]),
        "wall_seconds": time.time() - started,
        "results": results,
    }
    write(report, options)
    if options.json:
        return
    slowest = min(results, key=lambda result: result["times_best_stock"])
    print(f"least advantage over the best stock block: {slowest['times_best_stock']:.2f}x")
    for dtype in ("float32", "bfloat16"):
        shares = [
            result["share_of_dense"]
            for result in results
            if result["dtype"] == dtype and result["hidden_size"] == 256
        ]
        if shares:
            share = f"{min(shares):.0%} to {max(shares):.0%}"
            print(f"share of dense at hidden size 256, {dtype}: {share}")


def print_line(case: Case, result: dict[str, Any]) -> None:
    """One line of the table."""
    times = "  ".join(
        f"{name} {value['median']:.1f} ({value['least']:.1f}-{value['most']:.1f})"
        for name, value in result["milliseconds"].items()
    )
    print(
        f"{case}  {times}  {result['times_best_stock']:.2f}x best stock, "
        f"{result['share_of_dense']:.0%} of dense",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""Mixture-of-experts blocks beside transformers' own: same weights, same tokens, one run.

    python benchmarks/moe_layer.py [--quick] [--rounds 9] [--json]

One thread, CPU clock (the neighbours of a shared machine move the wall clock by twice), forward and
backward with the gradients of input and all weights, engines alternated in each round. The peers
are the blocks of PhiMoE, Mixtral and OLMoE with transformers' eager and grouped_mm experts, without
training noise. Token batches change from call to call, as in training: the number of tokens of an
expert is never the same for long. Outputs are compared before anything is timed.

"Of dense" is the time of our dense gated block with the same active FLOPs over ours.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor, nn
from transformers import MixtralConfig, OlmoeConfig, PhimoeConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock
from transformers.models.phimoe.modeling_phimoe import PhimoeSparseMoeBlock

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.model.feed_forwards.gated_mlp import GatedMlpModule
from archsmith.model.feed_forwards.mixture_of_experts import MixtureOfExpertsModule
from archsmith.model.kernels.fast import FAST
from archsmith.train.allocator import keep_freed_memory
from archsmith.train.weights import FlatWeights

TOP_K = 2
BATCHES = 8  # of tokens, taken in turn
EAGER, GROUPED = "transformers eager", "transformers grouped_mm"
OURS, DENSE = "archsmith", "dense"
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
    """A stock block: its config class, its module, how its router is named and what it does."""

    config: type
    block: type[nn.Module]
    router: str
    spec: dict[str, Any]


FAMILIES = {
    "PhiMoE": Family(PhimoeConfig, PhimoeSparseMoeBlock, "router", {"router": "sparsemixer"}),
    "Mixtral": Family(MixtralConfig, MixtralSparseMoeBlock, "gate", {"norm_topk_prob": True}),
    "OLMoE": Family(OlmoeConfig, OlmoeSparseMoeBlock, "gate", {"norm_topk_prob": False}),
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


def stock_block(case: Case, ours: MixtureOfExpertsModule, implementation: str) -> nn.Module:
    """transformers' block with our weights."""
    family = FAMILIES[case.family]
    config = family.config(
        hidden_size=case.hidden_size,
        intermediate_size=WIDTHS[case.hidden_size],
        num_experts_per_tok=TOP_K,
        num_attention_heads=4,
        num_key_value_heads=4,
        **{
            "num_experts" if family.config is OlmoeConfig else "num_local_experts": case.num_experts
        },
    )
    config._experts_implementation = implementation
    block = family.block(config).to(case.dtype).eval()
    experts = ours.experts
    with torch.no_grad():
        getattr(block, family.router).weight.copy_(ours.gate.weight)
        block.experts.gate_up_proj.copy_(torch.cat((experts.gate_proj, experts.up_proj), dim=1))
        block.experts.down_proj.copy_(experts.down_proj)
    return block


def engines(case: Case) -> dict[str, tuple[nn.Module, Engine]]:
    """Every implementation of a case, checked against transformers' eager one."""
    ours, dense = our_block(case), dense_block(case)
    found: dict[str, tuple[nn.Module, Engine]] = {
        OURS: (ours, lambda x: ours(x, kernels=FAST)),
        DENSE: (dense, lambda x: dense(x, kernels=FAST)),
    }
    for name, implementation in ((EAGER, "eager"), (GROUPED, "grouped_mm")):
        block = stock_block(case, ours, implementation)
        found[name] = (block, block)
    x = token_batches(case)[0].detach()
    expected = found[EAGER][1](x.clone())
    tolerance = 1e-4 if case.dtype == torch.float32 else 0.05
    for name in (OURS, GROUPED):
        torch.testing.assert_close(
            found[name][1](x.clone()), expected, rtol=tolerance, atol=tolerance, msg=name
        )
    return found


def token_batches(case: Case) -> list[Tensor]:
    """Normal tokens [1, N, D]."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, case.num_tokens, case.hidden_size, generator=generator)
        .to(case.dtype)
        .requires_grad_()
        for _ in range(BATCHES)
    ]


def measure(case: Case, *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """CPU milliseconds of forward and backward, one median per engine and round."""
    batches = token_batches(case)
    direction = torch.randn_like(batches[0])
    calls = {}
    for name, (module, engine) in engines(case).items():
        weights = [weight for weight in module.parameters() if weight.requires_grad]

        def call(number: int, weights: list[Tensor] = weights, engine: Engine = engine) -> float:
            x = batches[number % BATCHES]
            started = time.process_time()
            torch.autograd.grad(engine(x), [x, *weights], direction)
            return time.process_time() - started

        calls[name] = call
    repeats = {}
    for name, call in calls.items():
        once = min(call(number) for number in range(3))  # caches, allocator
        repeats[name] = max(3, round(seconds / once))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            times = [call(turn + number) for number in range(repeats[name])]
            found[name].append(1e3 * statistics.median(times))
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


def cases(*, quick: bool) -> list[Case]:
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
        for hidden_size in WIDTHS
        for num_experts in (8, 16)
        for num_tokens in (1024, 2048)
        for family in FAMILIES
    ]


def _filled(module: Any, case: Case) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            draw = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(draw * parameter.shape[-1] ** -0.5)
    FlatWeights(module, dtype=case.dtype)
    return module


def main() -> None:
    """Measure every case and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="repeats of each engine (9)")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU seconds a repeat (0.1)")
    parser.add_argument("--quick", action="store_true", help="one size")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    results = []
    if not options.json:
        print(f"torch {torch.__version__}, one thread, CPU milliseconds forward and backward")
    for case in cases(quick=options.quick):
        found = measure(case, rounds=options.rounds, seconds=options.seconds)
        results.append(summarize(case, found))
        if not options.json:
            print_line(case, results[-1])
    if options.json:
        report = {"torch": torch.__version__, "num_threads": 1, "results": results}
        print(json.dumps(report, indent=1))
        return
    slowest = min(results, key=lambda result: result["times_best_stock"])
    print(f"least advantage over the best stock block: {slowest['times_best_stock']:.2f}x")
    for dtype in ("float32", "bfloat16"):
        shares = [
            result["share_of_dense"]
            for result in results
            if result["dtype"] == dtype and result["hidden_size"] == 256
        ]
        print(f"share of dense at hidden size 256, {dtype}: {min(shares):.0%} to {max(shares):.0%}")


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

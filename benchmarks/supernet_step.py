"""An update by the sandwich rule beside an update of the largest network, in one run.

    python benchmarks/supernet_step.py [--rounds 7] [--hidden-size 128 256] [--dtype bfloat16]
                                       [--optimizer adamw] [--json]

One thread, CPU clock (the neighbours of a shared machine move the wall clock by twice), everything
alternated in each round, medians with the range over rounds. The sandwich (largest, smallest and
two at random on the same batch, one step) shares the weights of the largest network; the other side
is that network in the product's own training loop. Below it, what slicing costs: an update of one
part inside the shared weights over an update of a network of that shape with weights of its own:
loss and gradient alone, and the whole update, in which the shared side steps all shared weights.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from archsmith.architecture.elastic import Sizes, shrink
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype, dtype_name
from archsmith.train.recipe import Recipe
from archsmith.train.shared_weights import SharedWeights

CONTEXT_TOKENS = 256
BATCH_SIZE = 4  # 1024 tokens per update, the default recipe's
VOCAB_SIZE = 4096
HEAD_DIM = 32
DEPTHS = (2, 3, 4, 5, 6)
# of the largest width, and of a network's own width
WIDTHS, RATIOS = (0.5, 0.75, 1.0), (1.5, 2.0, 3.0)
STEPS = 2  # updates timed together


def make_largest(hidden_size: int) -> Architecture:
    """Six layers, heads of 32, a feed-forward block of three times the width."""
    heads = hidden_size // HEAD_DIM
    layer = Layer(
        mixer=Attention(num_attention_heads=heads, num_key_value_heads=heads, head_dim=HEAD_DIM),
        feed_forward=GatedMlp(intermediate_size=3 * hidden_size),
    )
    return Architecture(
        hidden_size=hidden_size,
        vocab_size=VOCAB_SIZE,
        max_position_embeddings=CONTEXT_TOKENS,
        layers=(layer,) * max(DEPTHS),
    )


def make_part(largest: Architecture, depth: int, width: float, ratio: float) -> Architecture:
    """The part of so many layers, and of these shares of the width."""
    hidden_size = HEAD_DIM * round(largest.hidden_size * width / HEAD_DIM)
    heads = hidden_size // HEAD_DIM
    feed_forward = 32 * round(hidden_size * ratio / 32)
    return shrink(largest, Sizes(depth, hidden_size, feed_forward, heads, heads))


def cpu_seconds(work: Callable[[int], object], number: int) -> float:
    """Of one update, the mean of a few."""
    started = time.process_time()
    for step in range(STEPS):
        work(number * STEPS + step)
    return (time.process_time() - started) / STEPS


def measure(hidden_size: int, *, rounds: int, wanted: str, recipe: Recipe) -> dict[str, object]:
    """Seconds of every kind of update in every round."""
    cpu = torch.device("cpu")
    dtype = choose_dtype(wanted, cpu)
    largest = make_largest(hidden_size)
    smallest = make_part(largest, min(DEPTHS), min(WIDTHS), min(RATIOS))
    middle = make_part(largest, 4, 0.75, 2.0)
    shared = SharedWeights(largest, recipe=recipe, seed=0, device=cpu, dtype=dtype)
    parts = {"largest": largest, "middle": middle, "smallest": smallest}
    alone = {
        name: Learner(part, recipe=recipe, seed=0, device=cpu, dtype=dtype)
        for name, part in parts.items()
    }
    rng = np.random.default_rng(0)
    batch = rng.integers(VOCAB_SIZE, size=(BATCH_SIZE, CONTEXT_TOKENS + 1))
    draws = random.Random(0)

    def sandwich_parts() -> list[Architecture]:
        drawn = [
            make_part(largest, draws.choice(DEPTHS), draws.choice(WIDTHS), draws.choice(RATIOS))
            for _ in range(2)
        ]
        return [largest, smallest, *drawn]

    tokens = shared.tokens(batch)
    works: dict[str, Callable[[int], object]] = {
        "sandwich": lambda number: shared.update(sandwich_parts(), batch, number=number, factor=1.0)
    }
    for name, part in parts.items():
        works[f"{name}, sliced"] = lambda number, part=part: shared.update(
            [part], batch, number=number, factor=1.0
        )
        works[f"{name}, alone"] = lambda number, learner=alone[name]: learner.update(
            batch, number=number, factor=1.0
        )
        works[f"{name}, sliced gradient"] = lambda number, part=part: shared.add_gradients(
            part, tokens, 1.0
        )
        works[f"{name}, own gradient"] = lambda number, learner=alone[name]: own_gradient(
            learner, tokens
        )
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            taken = cpu_seconds(work, number)
            if number:  # the first round warms up
                seconds[name].append(taken)
    return {
        "hidden_size": hidden_size,
        "dtype": dtype_name(dtype),
        "optimizer": recipe.optimizer,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "largest": largest.summary(),
        "smallest": smallest.summary(),
        "seconds": seconds,
    }


def own_gradient(learner: Learner, tokens: torch.Tensor) -> None:
    """Loss and gradient of a network with weights of its own, brought to the float32 buffer."""
    learner._loss(tokens[:, :-1], tokens[:, 1:]).backward()
    learner._weights.take_gradients()


def ratios(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Of the same round."""
    pairs = {"sandwich / largest alone": ("sandwich", "largest, alone")}
    for name in ("largest", "middle", "smallest"):
        pairs[f"{name}: sliced / own, gradient"] = (
            f"{name}, sliced gradient",
            f"{name}, own gradient",
        )
        pairs[f"{name}: sliced / alone, whole update"] = (f"{name}, sliced", f"{name}, alone")
    return {
        label: [a / b for a, b in zip(seconds[one], seconds[other], strict=True)]
        for label, (one, other) in pairs.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hidden-size", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for hidden_size in given.hidden_size:
        recipe = Recipe.model_validate({"optimizer": given.optimizer})
        measured = measure(hidden_size, rounds=given.rounds, wanted=given.dtype, recipe=recipe)
        measured["ratios"] = ratios(measured["seconds"])
        found.append(measured)
        if given.json:
            continue
        kind = f"{measured['dtype']}, {measured['optimizer']}"
        print(f"{measured['largest']}, {kind}, {BATCH_SIZE * CONTEXT_TOKENS} tokens")
        for name, values in measured["seconds"].items():
            print(f"  {name:36} {statistics.median(values) * 1e3:8.1f} ms")
        for name, values in measured["ratios"].items():
            middle, low, high = statistics.median(values), min(values), max(values)
            print(f"  {name:36} {middle:8.2f}  ({low:.2f}-{high:.2f})")
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

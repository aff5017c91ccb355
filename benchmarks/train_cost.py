"""Time of training against size: is a token as dear as its FLOPs say?

    python benchmarks/train_cost.py [--rounds 3] [--updates 2] [--json]

One thread, CPU clock, float32, the default recipe's 1024 tokens per update. A ladder of dense
networks from 0.1M to 10M parameters with one vocabulary takes turns in every round; of each the
median over rounds is kept. Printed: a line through log seconds per token against log training FLOPs
per token and against log active parameters, with exponent, R2 and the largest deviation. Networks
that strain one kernel each (long contexts, a large vocabulary, windows, many experts) are held
against the ladder's line: their ratio says how much dearer a FLOP is there.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe

VOCAB_SIZE, CONTEXT_TOKENS = 1024, 256
# width, depth of the ladder
LADDER = ((64, 2), (64, 4), (96, 4), (128, 4), (128, 8), (192, 6), (256, 5), (256, 8), (384, 5))
_MORE_THAN_MATRICES = 1.5  # a FLOP this much dearer than on the ladder's line is reported


def main() -> int:
    """Print the fits, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=2, help="of each network in a round")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ladder = {f"{depth}x{width}": network(width, depth) for width, depth in LADDER}
    strained = strained_networks()
    seconds = time_all({**ladder, **strained}, options.rounds, options.updates, options.optimizer)
    result = summarize(ladder, strained, seconds)
    print(json.dumps(result, indent=1) if options.json else "\n".join(_lines(result)))
    return 0


def network(
    width: int,
    depth: int,
    *,
    vocab_size: int = VOCAB_SIZE,
    context_tokens: int = CONTEXT_TOKENS,
    window: int | None = None,
    experts: tuple[int, int] | None = None,
) -> Architecture:
    """Heads of 32 or 64, a feed-forward block of 2.75 widths, or experts that share 2.75 widths."""
    head_dim = 32 if width < 128 else 64
    inner = width * 11 // 4
    feed_forward: GatedMlp | MixtureOfExperts = GatedMlp(intermediate_size=inner)
    if experts is not None:
        number, used = experts
        feed_forward = MixtureOfExperts(
            num_experts=number, num_experts_per_tok=used, moe_intermediate_size=inner // used
        )
    layer = Layer(
        mixer=Attention(
            num_attention_heads=width // head_dim,
            num_key_value_heads=width // head_dim,
            head_dim=head_dim,
            sliding_window=window,
        ),
        feed_forward=feed_forward,
    )
    return Architecture(
        hidden_size=width,
        vocab_size=vocab_size,
        max_position_embeddings=context_tokens,
        layers=(layer,) * depth,
    )


def strained_networks() -> dict[str, Architecture]:
    """One kernel strained in each."""
    return {
        "context 512": network(128, 4, context_tokens=512),
        "context 1024": network(128, 4, context_tokens=1024),
        "window 128 of 1024": network(128, 4, context_tokens=1024, window=128),
        "vocabulary 16384": network(128, 4, vocab_size=16384),
        "8 experts, 2 used": network(128, 4, experts=(8, 2)),
        "64 experts, 4 used": network(128, 4, experts=(64, 4)),
    }


def time_all(
    networks: Mapping[str, Architecture], rounds: int, updates: int, optimizer: str
) -> dict[str, list[float]]:
    """CPU seconds per token of every network in every round; a first update is not counted."""
    rng = np.random.default_rng(0)
    recipe = Recipe.model_validate({"optimizer": optimizer, "dtype": "float32"})
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, architecture in networks.items():
            context = architecture.max_position_embeddings
            size = recipe.batch_size(context), context + 1
            learner = Learner(
                architecture,
                recipe=recipe,
                seed=0,
                device=torch.device("cpu"),
                dtype=torch.float32,
            )
            batches = rng.integers(architecture.vocab_size, size=(updates + 1, *size))
            learner.update(batches[0], number=0, factor=1.0)
            taken = []
            for number, batch in enumerate(batches[1:], start=1):
                started = time.process_time()
                learner.update(batch, number=number, factor=1.0)
                taken.append(time.process_time() - started)
            found[name].append(min(taken) / (size[0] * context))
    return found


def summarize(
    ladder: Mapping[str, Architecture],
    strained: Mapping[str, Architecture],
    seconds: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Rows and the two lines; a strained network's ratio is against the line over FLOPs."""
    networks = {**ladder, **strained}
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    flops = {name: 3.0 * one.flops_per_token() for name, one in networks.items()}
    params = {name: float(one.num_active_params) for name, one in networks.items()}
    lines = {
        "flops_per_token": fit(flops, medians, ladder),
        "num_active_params": fit(params, medians, ladder),
    }
    line = lines["flops_per_token"]
    rows = [
        {
            "network": name,
            "architecture": one.summary(),
            "num_params": one.num_params,
            "num_active_params": one.num_active_params,
            "training_flops_per_token": flops[name],
            "microseconds_per_token": 1e6 * medians[name],
            "spread": max(seconds[name]) / min(seconds[name]) - 1,
            "gflops_per_second": flops[name] / medians[name] / 1e9,
            "over_line": medians[name]
            / math.exp(line["intercept"] + line["exponent"] * math.log(flops[name])),
            "strained": name in strained,
        }
        for name, one in networks.items()
    ]
    return {"rows": rows, "lines": lines}


def fit(
    sizes: Mapping[str, float], seconds: Mapping[str, float], names: Mapping[str, Architecture]
) -> dict[str, float]:
    """log seconds = intercept + exponent · log size, by least squares."""
    x = np.log([sizes[name] for name in names])
    y = np.log([seconds[name] for name in names])
    exponent, intercept = np.polyfit(x, y, 1)
    off = y - (intercept + exponent * x)
    return {
        "exponent": float(exponent),
        "intercept": float(intercept),
        "r2": float(1 - (off**2).sum() / ((y - y.mean()) ** 2).sum()),
        "largest_deviation": float(np.exp(np.abs(off).max()) - 1),
    }


def _lines(result: dict[str, Any]) -> list[str]:
    lines = ["network                params  active  us/token  spread  GFLOP/s  over the line"]
    for row in result["rows"]:
        dear = row["strained"] and row["over_line"] > _MORE_THAN_MATRICES
        lines.append(
            f"{row['network']:20s} {row['num_params'] / 1e6:6.2f}M"
            f" {row['num_active_params'] / 1e6:6.2f}M {row['microseconds_per_token']:8.1f}"
            f" {row['spread']:7.0%}"
            f" {row['gflops_per_second']:8.1f} {row['over_line']:8.2f}{'  dear' if dear else ''}"
        )
    for name, line in result["lines"].items():
        lines.append(
            f"seconds per token over {name}: exponent {line['exponent']:.2f}, R2 {line['r2']:.3f}, "
            f"largest deviation {line['largest_deviation']:.0%}"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())

"""What a search costs beside training: milliseconds per trial on SQLite, nothing being trained.

    python benchmarks/search_overhead.py --n-trials 200 --json

Every trial is proposed, checked against its limits, queued, claimed, evaluated by an evaluator that
does nothing, recorded durably and read back, inline. The figure is the time from one finished trial
to the next; the promise is a median under 20 ms. `toy` draws points of a grid and shows the bare
loop; registered strategies run over the portable space.
"""

import argparse
import itertools
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from archsmith import registry
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ArchsmithError
from archsmith.evaluators.base import Evaluator, Request, Result
from archsmith.runtime.events import Event, Finished
from archsmith.strategies.base import Strategy
from archsmith.study import create_study
from archsmith.trial import Observation, Problem, Proposal

PROMISED_MS = 20.0


class Nothing(Evaluator):
    """A score from the shape, at once."""

    type: Literal["nothing"] = "nothing"

    def metrics(self) -> tuple[str, ...]:
        return ("bits_per_byte",)

    def evaluate(self, request: Request) -> Result:
        params = request.architecture.num_non_embedding_params
        return Result(metrics={"bits_per_byte": 1.0 + 1e3 / params})


class Draw(Strategy):
    """A new point at random: the least a strategy can do."""

    type: Literal["draw"] = "draw"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        return Proposal(architecture=problem.space.sample(rng), strategy="draw")


class ToySpace:
    """Llama shapes on a grid, of the size of a real candidate."""

    def sample(self, rng: random.Random) -> Architecture:
        heads = rng.randint(2, 12)
        layer = Layer(
            mixer=Attention(num_attention_heads=heads, num_key_value_heads=1, head_dim=32),
            feed_forward=GatedMlp(intermediate_size=32 * rng.randint(2, 60)),
        )
        return Architecture(
            hidden_size=32 * rng.randint(2, 24),
            vocab_size=256 * rng.randint(1, 64),
            max_position_embeddings=512,
            layers=(layer,) * rng.randint(1, 12),
        )


def static_metrics(architecture: Architecture) -> Mapping[str, float]:
    """Bytes at two per parameter; what exact cost models take is their own benchmark."""
    return {"file_bytes": 2.0 * architecture.num_params}


def main() -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--n-trials", type=int, default=200)
    parser.add_argument("--strategy", action="append", help="one or more; default: all light ones")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, make in _contestants(options.strategy):
        try:
            strategy, space = make()
            rows.append({"strategy": name, **measure(strategy, space, options.n_trials)})
        except ArchsmithError as error:
            rows.append({"strategy": name, "error": str(error)})
    result = {
        "n_trials": options.n_trials,
        "promised_median_ms": PROMISED_MS,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "strategies": rows,
    }
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{'strategy':<24}{'median ms':>10}{'p95 ms':>10}   over {options.n_trials} trials")
        for row in rows:
            if "error" in row:
                print(f"{row['strategy']:<24}{row['error']}")
            else:
                print(f"{row['strategy']:<24}{row['median_ms']:>10.1f}{row['p95_ms']:>10.1f}")
    toy = rows[0]
    return int(toy.get("median_ms", PROMISED_MS) >= PROMISED_MS)


def measure(strategy: Strategy, space: Any, n_trials: int) -> dict[str, float]:
    """Milliseconds between finished trials."""
    times: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        study = create_study(
            study_name="overhead",
            storage=Path(folder) / "overhead.db",
            space=space,
            strategy=strategy,
            objectives=["bits_per_byte"],
            limits=["file_bytes <= 1GiB"],
            static_metrics=static_metrics,
        )
        study.optimize(Nothing(), n_trials=n_trials, executor="inline", on_event=listen)
        study.store.close()
    gaps = [1e3 * (b - a) for a, b in itertools.pairwise(times)]
    return {
        "median_ms": statistics.median(gaps),
        "p95_ms": statistics.quantiles(gaps, n=20)[-1],
        "last_tenth_ms": statistics.median(gaps[-max(len(gaps) // 10, 1) :]),
    }


def _contestants(
    asked: Sequence[str] | None,
) -> list[tuple[str, Callable[[], tuple[Strategy, Any]]]]:
    found: list[tuple[str, Callable[[], tuple[Strategy, Any]]]] = [
        ("toy", lambda: (Draw(), ToySpace()))
    ]
    for name in asked or registry.names("strategies"):
        found.append((name, lambda name=name: (registry.find("strategies", name)(), _portable())))
    return found


def _portable() -> Any:
    from archsmith.space import presets

    return presets.portable()


if __name__ == "__main__":
    sys.exit(main())

"""Memory of training, predicted against measured: `train_memory_bytes` on networks drawn at random.

    python benchmarks/train_memory.py [--count 24] [--seed 1] [--dtype float32] [--json]

Each network is trained for two updates and scored as a rung is, in a process of its own that is
forked when everything is imported; what it grew by is the peak of its resident set, less the files
it maps and less what it began with. Networks that grow by less than 30 MB are left out. The factors
of the model were fitted to other networks than these.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, TrainingSettings
from archsmith.cost.train_memory_bytes import (
    branch_memory_bytes,
    growth_bytes,
    train_memory_bytes,
    training_growth_bytes,
)
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import SpaceConfig

PROMISED = 0.10
LEAST_BYTES = 30_000_000
SCORE_TOKENS = 4096
VOCABULARIES = (
    Vocabulary(512, 512), Vocabulary(1024, 400), Vocabulary(2048, 333),
    Vocabulary(4096, 256), Vocabulary(8192, 1024), Vocabulary(16384, 200),
)  # fmt: skip
WIDTHS = (96, 128, 160, 192, 256, 320, 384)


def main() -> int:
    """Print the comparison, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-params", default="4M")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--branch", action="store_true", help="measure a cooldown's branch as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    drawn = draw(options.count, options.seed, options.max_params, options.dtype)
    result = compare(drawn, branch=options.branch)
    print(json.dumps(result, indent=1) if options.json else "\n".join(_lines(result)))
    return 0


def draw(
    count: int, seed: int, max_params: str, dtype: str
) -> list[tuple[Architecture, TrainingSettings]]:
    """Networks of the portable and, every third, of the expert space, with both optimizers."""
    rng = random.Random(seed)
    spaces = [
        SpaceConfig.model_validate(
            {
                "preset": preset,
                "vocabularies": VOCABULARIES,
                "max_params": max_params,
                "hidden_sizes": WIDTHS,
                "depths": (1, 2, 3, 4, 6, 8),
            }
        ).build()
        for preset in ("portable", "portable", "moe")
    ]
    found: list[tuple[Architecture, TrainingSettings]] = []
    while len(found) < count:
        architecture = spaces[len(found) % len(spaces)].sample(rng)
        settings = TrainingSettings(
            optimizer=rng.choice(("muon", "adamw")),
            dtype=cast(Literal["float32", "bfloat16"], dtype),
        )
        if training_growth_bytes(architecture, CostContext(training=settings)) > LEAST_BYTES:
            found.append((architecture, settings))
    return found


def compare(
    networks: Sequence[tuple[Architecture, TrainingSettings]], *, branch: bool
) -> dict[str, Any]:
    """Rows of bytes predicted and measured, with the distribution of the errors."""
    import_everything()
    rows = []
    for architecture, settings in networks:
        context = CostContext(training=settings)
        measured = measure_apart(architecture, settings, branch=branch)
        predicted = {
            "training": training_growth_bytes(architecture, context),
            "rung": growth_bytes(architecture, context),
            "resident": train_memory_bytes(architecture, context),
        }
        if branch:
            whole = train_memory_bytes(architecture, context) - predicted["rung"]
            predicted["branch"] = branch_memory_bytes(architecture, context) - whole
        rows.append(
            {
                "architecture": architecture.summary(),
                "optimizer": settings.optimizer,
                "dtype": settings.dtype,
                "predicted": predicted,
                "measured": measured,
            }
        )
    kinds = rows[0]["predicted"] if rows else {}
    return {"rows": rows, "errors": {kind: _distribution(rows, kind) for kind in kinds}}


def import_everything() -> None:
    """What a child would otherwise import, and be larger by."""
    import torch

    import archsmith.evaluators.trunk_training
    import archsmith.export.llamacpp  # noqa: F401

    torch.set_num_threads(1)


def measure_apart(
    architecture: Architecture, settings: TrainingSettings, *, branch: bool = False
) -> dict[str, int]:
    """`measure` in a forked process, whose peak is its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            found = measure(architecture, settings, branch=branch)
            os.write(write, json.dumps(found).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 or not text:
        raise RuntimeError(f"{architecture.summary()}: the measuring process failed ({status})")
    return cast(dict[str, int], json.loads(text))


def measure(
    architecture: Architecture, settings: TrainingSettings, *, branch: bool
) -> dict[str, int]:
    """Bytes by which this process grows: updates, then scoring, then a branch."""
    import numpy as np
    import torch

    from archsmith.errors import ExportError
    from archsmith.export.roundtrip import quantize_dequantize
    from archsmith.model.transformer import load_numpy, to_numpy
    from archsmith.train.learner import Learner
    from archsmith.train.recipe import Recipe

    began = _status("RssAnon")

    def grown() -> int:
        return _status("VmHWM") - _status("RssFile") - began

    recipe = Recipe.model_validate(settings._asdict())
    tokens = architecture.max_position_embeddings
    learner = Learner(
        architecture,
        recipe=recipe,
        seed=0,
        device=torch.device("cpu"),
        dtype=getattr(torch, settings.dtype),
    )
    rng = np.random.default_rng(0)

    def text(windows: int) -> np.ndarray:
        return rng.integers(architecture.vocab_size, size=(windows, tokens + 1))

    for number in range(2):
        learner.update(text(recipe.batch_size(tokens)), number=number, factor=1.0)
    found = {"training": grown()}
    model = learner.model()
    with contextlib.suppress(ExportError):  # what no format holds is scored as it is
        load_numpy(model, quantize_dequantize(to_numpy(model), architecture))
    stream = torch.from_numpy(text(max(1, SCORE_TOKENS // tokens)))
    model.token_nats(stream[:, :-1], stream[:, -max(1, tokens // 2) :])
    found |= {"rung": grown(), "resident": _status("VmHWM")}
    if branch:
        del model
        with learner.branch():
            learner.update(text(recipe.batch_size(tokens)), number=2, factor=1.0)
            learner.model()
        found["branch"] = grown()
    return found


def _status(key: str) -> int:
    """Bytes of an entry of /proc/self/status, of which Linux alone has one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _distribution(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, float]:
    errors = sorted(row["predicted"][kind] / row["measured"][kind] - 1 for row in rows)
    sizes = sorted(abs(error) for error in errors)
    return {
        "median": statistics.median(errors),
        "median_size": statistics.median(sizes),
        "p90_size": sizes[int(0.9 * (len(sizes) - 1))],
        "least": errors[0],
        "most": errors[-1],
        "share_within_promised": sum(size <= PROMISED for size in sizes) / len(sizes),
    }


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [
        "MB predicted / measured: " + ", ".join(result["errors"]),
        *(
            f"{row['optimizer']:>6s} {row['dtype']:>9s} "
            + "".join(
                f"{row['predicted'][kind] / 1e6:6.0f}/{row['measured'][kind] / 1e6:<8.0f}"
                for kind in row["predicted"]
            )
            + row["architecture"]
            for row in result["rows"]
        ),
    ]
    for kind, errors in result["errors"].items():
        lines.append(
            f"{kind:9s} error: median {errors['median']:+.1%}, size {errors['median_size']:.1%} "
            f"(median), {errors['p90_size']:.1%} (nine of ten), from {errors['least']:+.1%} to "
            f"{errors['most']:+.1%}; {errors['share_within_promised']:.0%} within 10 %"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())

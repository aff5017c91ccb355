"""Muon with AdamW against AdamW alone: held-out bits per byte at equal bytes and at equal seconds.

    python experiments/2026-11-22-optimizers/run.py DATA --work OUT

DATA holds the folders wikitext2 and tinystories; Python's own library is the third corpus. First
the CPU seconds of an update are measured for both, in turns. Then each optimizer's rates are swept
on WikiText-2 and a seed of its own. The best rates then train on all corpora with
fresh seeds. OUT/runs.jsonl gets a line per finished run; started again, it goes on where it was.
"""

import argparse
import json
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import DivergedError
from archsmith.presets import scaled_llama
from archsmith.train.learner import Learner
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.trunk import Trunk


class Rates(NamedTuple):
    """Factors of the recipe's default rates: matrices, everything else."""

    matrix: float = 1.0
    rest: float = 1.0


VOCAB_SIZE = 1024
CONTEXT_TOKENS = 256
DEPTH = 4
WIDTHS = (96, 192)
OPTIMIZERS = ("muon", "adamw")
TRUNK_UPDATES = 120  # and a fifth more of cooldown
LONG_UPDATES = 360  # once, at the smaller width, with the same rates
SWEPT_CORPUS, SWEEP_SEED = "wikitext2", 0
SEEDS = (1, 2)
START = Rates()  # the rest was 0.004 when these runs were made, and began at 4 times that
PROTOCOL = ScoringProtocol(context_bytes=4096, stride_bytes=4096, max_bytes=64 << 10)
SPEED_ROUNDS, SPEED_UPDATES = 7, 6


class Text(NamedTuple):
    train: TokenFile
    held_out: TokenFile


def corpora(data: Path) -> dict[str, CorpusConfig]:
    """An encyclopedia, stories for children, programs."""
    return {
        "wikitext2": CorpusConfig(
            files=(str(data / "wikitext2/train.txt.gz"),),
            validation_files=(str(data / "wikitext2/valid.txt.gz"),),
            test_files=(str(data / "wikitext2/test.txt.gz"),),
            continuous=True,
        ),
        "tinystories": CorpusConfig(
            files=(str(data / "tinystories/tiny_stories_sample.txt.gz"),),
            validation_fraction=0.08,
        ),
        "python": CorpusConfig(files=(f"{sysconfig.get_path('stdlib')}/*.py",)),
    }


def prepare(name: str, config: CorpusConfig, work: Path) -> Text:
    corpus = Corpus.prepare(config, work / name / "corpus")
    tokenizer = Tokenizer.train(corpus, vocab_size=VOCAB_SIZE, num_threads=1)
    return Text(
        *(
            TokenFile.build(corpus, split, tokenizer, work / name / "tokens", num_threads=1)
            for split in (Split.TRAIN, Split.SEARCH)
        )
    )


def make_architecture(width: int) -> Architecture:
    """Heads of 32, an FFN of 8/3 of the width, tied table."""
    drawn = scaled_llama(width, vocab_size=VOCAB_SIZE, context_tokens=CONTEXT_TOKENS)
    return drawn.model_copy(update={"layers": drawn.layers[:1] * DEPTH})


def make_recipe(optimizer: str, rates: Rates) -> Recipe:
    default = Recipe.model_validate({"optimizer": optimizer, "dtype": "float32"})
    return default.model_copy(
        update={
            "learning_rate": rates.matrix * default.learning_rate,
            "embedding_learning_rate": rates.rest * default.embedding_learning_rate,
        }
    )


def measure_speed(width: int) -> dict[str, Any]:
    """CPU milliseconds of an update, in turns; each round's own ratio."""
    architecture, rng = make_architecture(width), np.random.default_rng(0)
    batches = rng.integers(VOCAB_SIZE, size=(SPEED_UPDATES, 4, CONTEXT_TOKENS + 1))
    learners = {
        name: Learner(
            architecture,
            recipe=make_recipe(name, Rates()),
            seed=0,
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        for name in OPTIMIZERS
    }
    rounds: dict[str, list[float]] = {name: [] for name in OPTIMIZERS}
    for number in range(SPEED_ROUNDS + 1):
        for name, learner in learners.items():
            started = time.process_time()
            for index, batch in enumerate(batches):
                learner.update(batch, number=number * SPEED_UPDATES + index, factor=1.0)
            if number:  # the first warms up
                rounds[name].append((time.process_time() - started) / SPEED_UPDATES)
    ratios = [muon / adamw for muon, adamw in zip(*rounds.values(), strict=True)]
    return {
        "stage": "speed",
        "width": width,
        "update_ms": {name: 1000 * statistics.median(spent) for name, spent in rounds.items()},
        "ratios": ratios,
        "ratio": statistics.median(ratios),
    }


def train(
    optimizer: str, width: int, text: Text, *, rates: Rates, seed: int, stops: dict[str, int]
) -> list[dict[str, Any]]:
    """A reading at each stop (name -> updates of the trunk): cooled down and scored."""
    trunk = Trunk.start(
        make_architecture(width),
        recipe=make_recipe(optimizer, rates),
        seed=seed,
        tokens=text.train,
        clock=time.process_time,
    )
    batch_bytes = trunk.recipe.batch_tokens * text.train.bytes_per_token
    readings = []
    for name, updates in stops.items():
        before = trunk.branch_seconds, trunk.branch_steps
        try:
            trunk.run(int(updates * batch_bytes))
            model = trunk.cooldown()
        except DivergedError:
            return readings
        assert model is not None
        cooldown_updates = trunk.branch_steps - before[1]
        score = score_model(model, text.held_out, PROTOCOL)
        readings.append(
            {
                "stop": name,
                "updates": trunk.step + cooldown_updates,
                "train_bytes": round((trunk.step + cooldown_updates) * batch_bytes),
                "cpu_seconds": trunk.train_seconds + trunk.branch_seconds - before[0],
                "bits_per_byte": score.bits_per_byte,
                "block_nats": score.block_nats,
                "block_bytes": score.block_bytes,
            }
        )
    return readings


class Results:
    """The file of finished runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows = (
            [json.loads(line) for line in path.read_text().splitlines()] if (path.exists()) else []
        )

    def get(self, key: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row with these values, made if there is none."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        row = key | make()
        self.rows.append(row)
        with self._path.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        short = [f"{one['stop']} {one['bits_per_byte']:.4f}" for one in row.get("readings", [])]
        print(time.strftime("%H:%M:%S"), *key.values(), *short, row.get("ratio", ""), flush=True)
        return row


def reading_of(
    results: Results,
    stage: str,
    optimizer: str,
    width: int,
    corpus: tuple[str, Text],
    *,
    rates: Rates,
    seed: int,
    stops: dict[str, int],
) -> dict[str, Any]:
    key = {
        "stage": stage,
        "optimizer": optimizer,
        "width": width,
        "corpus": corpus[0],
        "seed": seed,
        "matrix_factor": rates.matrix,
        "rest_factor": rates.rest,
    }
    return results.get(
        key,
        lambda: {
            "readings": train(optimizer, width, corpus[1], rates=rates, seed=seed, stops=stops)
        },
    )


def sweep(
    results: Results,
    optimizer: str,
    width: int,
    text: Text,
    *,
    start: Rates,
    names: tuple[str, ...],
) -> Rates:
    """The best rates, one kind after the other; the best has a neighbour on either side."""

    def loss(rates: Rates) -> float:
        row = reading_of(
            results,
            "sweep",
            optimizer,
            width,
            (SWEPT_CORPUS, text),
            rates=rates,
            seed=SWEEP_SEED,
            stops={"bytes": TRUNK_UPDATES},
        )
        found = [one["bits_per_byte"] for one in row["readings"]]
        return found[0] if found else float("inf")

    best = start
    for name in names:
        while True:
            factor = getattr(best, name)
            near = [best._replace(**{name: one}) for one in (factor, factor / 2, factor * 2)]
            better = min(near, key=loss)
            if better == best:
                break
            best = better
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with wikitext2 and tinystories")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora and results")
    parser.add_argument("--num-seeds", type=int, default=len(SEEDS))
    parser.add_argument(
        "--sweep-both", action="store_true", help="the matrices' rate at the larger width as well"
    )
    options = parser.parse_args()
    later = ("matrix",) if options.sweep_both else ()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    configs = corpora(options.data.resolve())
    texts = {name: prepare(name, config, options.work) for name, config in configs.items()}
    results = Results(options.work / "runs.jsonl")
    best: dict[tuple[str, int], Rates] = {}
    ratio = {}
    for width in WIDTHS:
        key = {"stage": "speed", "width": width}
        ratio[width] = results.get(key, lambda width=width: measure_speed(width))["ratio"]
        for optimizer in OPTIMIZERS:
            # the larger width goes on from what the smaller one found
            known = best.get((optimizer, WIDTHS[0]))
            best[optimizer, width] = sweep(
                results,
                optimizer,
                width,
                texts[SWEPT_CORPUS],
                start=known or START,
                names=later if known else ("rest", "matrix"),
            )

    def compare(stage: str, width: int, names: Iterable[str], *, updates: int, seed: int) -> None:
        # equal seconds: as many more updates as an update is faster
        stops = {
            "muon": {"bytes": updates},
            "adamw": {"bytes": updates, "seconds": round(updates * ratio[width])},
        }
        for name in names:
            for optimizer in OPTIMIZERS:
                reading_of(
                    results,
                    stage,
                    optimizer,
                    width,
                    (name, texts[name]),
                    rates=best[optimizer, width],
                    seed=seed,
                    stops=stops[optimizer],
                )

    for seed in SEEDS[: options.num_seeds]:
        for width in WIDTHS:
            compare("final", width, texts, updates=TRUNK_UPDATES, seed=seed)
    compare("long", WIDTHS[0], [SWEPT_CORPUS], updates=LONG_UPDATES, seed=SEEDS[0])


if __name__ == "__main__":
    main()

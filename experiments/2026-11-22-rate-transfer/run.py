"""Cooled-down loss against learning rate for several widths and depths, two parametrizations.

    python experiments/2026-11-22-rate-transfer/run.py DATA --work OUT

DATA holds the folder wikitext2. OUT/runs.jsonl gets a line per finished run; started again, it goes
on where it was. A factor multiplies all rates, the matrices' and the others', whose ratio was
chosen at the base shape.

`house` is what archsmith does: `archsmith.train.parametrization` with the initial scales that
belong to it. `raw` ignores shapes, as a plain trainer does: one rate for all matrices, one for all
that AdamW moves, and every initial weight of a matrix from a normal distribution of 0.02,
LlamaForCausalLM's. `rates` and `scales` have one half of `house` each: its rates with raw scales,
its scales with raw rates; `level` is `house` without the rates' factor of depth, which is as at
the base everywhere. They are tried at factor 1 alone.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import DivergedError
from archsmith.presets import scaled_llama
from archsmith.train.parametrization import TensorRule, tensor_rule
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.trunk import Trunk

VOCAB_SIZE = 512
CONTEXT_TOKENS = 128
TRUNK_UPDATES = 125  # and a fifth more of cooldown
BASE = (64, 4)  # width and depth
SHAPES = (BASE, (32, 4), (128, 4), (64, 2), (64, 8))
FACTORS = (1.0, 0.5, 2.0)  # at the base; elsewhere the base's best and its neighbours
MOST_FACTORS = 6  # the range is widened until the best has a neighbour on either side
PROTOCOL = ScoringProtocol(context_bytes=4096, stride_bytes=4096, max_bytes=1 << 16)
# rates at factor 1: of matrices, of the rest; nearly the best of a grid at the base shape
RATES = {
    ("muon", "house"): (0.02, 0.032),
    ("muon", "raw"): (0.02, 0.064),
    ("muon", "rates"): (0.02, 0.032),
    ("muon", "scales"): (0.02, 0.064),
    ("muon", "level"): (0.02, 0.032),
}


class Cell(NamedTuple):
    """One curve: loss against the factor."""

    optimizer: str
    kind: str  # dense, experts
    rule: str  # house, raw, rates, scales, level
    width: int
    depth: int
    seed: int


def make_architecture(cell: Cell) -> Architecture:
    """Heads of 32, an FFN of 8/3 of the width, or 4 experts of half of it, two per token."""
    drawn = scaled_llama(cell.width, vocab_size=VOCAB_SIZE, context_tokens=CONTEXT_TOKENS)
    layer = drawn.layers[0]
    if cell.kind == "experts":
        block = MixtureOfExperts(
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=layer.feed_forward.intermediate_size // 2,
        )
        layer = layer.model_copy(update={"feed_forward": block})
    return drawn.model_copy(update={"layers": (layer,) * cell.depth})


def raw_rule(
    name: str, shape: tuple[int, ...], *, architecture: Architecture, recipe: Recipe
) -> TensorRule:
    """Rates and optimizers by the kind of tensor alone."""
    hidden = "_proj" in name
    if not hidden:
        return TensorRule(recipe.embedding_learning_rate, 0.0, muon=False)
    decay = recipe.learning_rate * recipe.weight_decay
    return TensorRule(recipe.learning_rate, decay, muon=recipe.optimizer == "muon")


def level_rule(
    name: str, shape: tuple[int, ...], *, architecture: Architecture, recipe: Recipe
) -> TensorRule:
    """archsmith's rule as if the network had the base's depth."""
    layers = architecture.layers[:1] * BASE[1]
    same = architecture.model_copy(update={"layers": layers})
    return tensor_rule(name, shape, architecture=same, recipe=recipe)


def raw_std(name: str, shape: tuple[int, ...], *, num_hidden_layers: int) -> float | None:
    return 0.02 if len(shape) > 1 else None


RULES = {"raw": raw_rule, "scales": raw_rule, "level": level_rule}  # others: archsmith's


def make_recipe(cell: Cell, factor: float) -> Recipe:
    matrix, rest = RATES[cell.optimizer, cell.rule]
    return Recipe.model_validate(
        {
            "optimizer": cell.optimizer,
            "learning_rate": factor * matrix,
            "embedding_learning_rate": factor * rest,
            "dtype": "float32",
        }
    )


def train(cell: Cell, factor: float, tokens: TokenFile, held_out: TokenFile) -> dict[str, Any]:
    """One line of the result. `bits_per_byte` is None where training diverged."""
    started = time.process_time()
    with ExitStack() as patches:
        rule = RULES.get(cell.rule)
        if rule is not None:
            patches.enter_context(patch("archsmith.train.learner.tensor_rule", rule))
        if cell.rule in ("raw", "rates"):
            patches.enter_context(patch("archsmith.model.initialization.initial_std", raw_std))
        trunk = Trunk.start(
            make_architecture(cell),
            recipe=make_recipe(cell, factor),
            seed=cell.seed,
            tokens=tokens,
            clock=time.process_time,
        )
        batch_bytes = trunk.recipe.batch_tokens * tokens.bytes_per_token
        bits_per_byte = None
        try:
            trunk.run(int(TRUNK_UPDATES * batch_bytes))
            model = trunk.cooldown()
            assert model is not None
            bits_per_byte = score_model(model, held_out, PROTOCOL).bits_per_byte
        except DivergedError:
            pass
    return cell._asdict() | {
        "factor": factor,
        "bits_per_byte": bits_per_byte,
        "updates": trunk.step + trunk.branch_steps,
        "cpu_seconds": round(time.process_time() - started, 2),
    }


class Results:
    """The file of finished runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._rows = [json.loads(line) for line in lines]

    def curve(self, cell: Cell) -> dict[float, float]:
        """Loss by factor; infinite where training diverged."""
        found = {}
        for row in self._rows:
            if Cell(*(row[name] for name in Cell._fields)) == cell:
                bits = row["bits_per_byte"]
                found[row["factor"]] = float("inf") if bits is None else bits
        return found

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        with self.path.open("a") as lines:
            lines.write(json.dumps(row) + "\n")


def wanted(curve: dict[float, float], *, start: float, widen: bool) -> Iterator[float]:
    """Factors still to be tried, one after the other as their results come in."""
    yield from (start * factor for factor in FACTORS if start * factor not in curve)
    while widen and len(curve) < MOST_FACTORS:
        best = min(curve, key=lambda factor: curve[factor])
        if best not in (min(curve), max(curve)):
            return
        yield best / 2 if best == min(curve) else best * 2


def run_cells(
    cells: Iterable[Cell], results: Results, tokens: TokenFile, held_out: TokenFile
) -> None:
    for cell in cells:
        # a second seed repeats what is near the first one's best
        width, depth = (cell.width, cell.depth) if cell.seed else BASE
        known = results.curve(cell._replace(width=width, depth=depth, seed=0))
        start = min(known, key=lambda factor: known[factor]) if known else 1.0
        curve = results.curve(cell)
        if cell.rule in ("rates", "scales", "level"):
            factors = iter(() if curve else (1.0,))
        else:
            factors = wanted(curve, start=start, widen=not cell.seed)
        for factor in factors:
            row = train(cell, factor, tokens, held_out)
            results.add(row)
            curve.update(results.curve(cell))
            print(time.strftime("%H:%M:%S"), *row.values(), flush=True)


def prepare(data: Path, work: Path) -> tuple[TokenFile, TokenFile]:
    config = CorpusConfig(
        files=(str(data / "wikitext2/train.txt.gz"),),
        validation_files=(str(data / "wikitext2/valid.txt.gz"),),
        test_files=(str(data / "wikitext2/test.txt.gz"),),
        continuous=True,
    )
    corpus = Corpus.prepare(config, work / "corpus")
    tokenizer = Tokenizer.train(corpus, vocab_size=VOCAB_SIZE, num_threads=1)
    return (
        TokenFile.build(corpus, Split.TRAIN, tokenizer, work / "tokens", num_threads=1),
        TokenFile.build(corpus, Split.SEARCH, tokenizer, work / "tokens", num_threads=1),
    )


def cells_of(optimizer: str, kind: str, rule: str, *, seed: int) -> list[Cell]:
    return [Cell(optimizer, kind, rule, width, depth, seed) for width, depth in SHAPES]


PARTS = {
    "dense": [("muon", "dense", "house"), ("muon", "dense", "raw")],
    "halves": [("muon", "dense", "rates"), ("muon", "dense", "scales"), ("muon", "dense", "level")],
    "experts": [("muon", "experts", "house"), ("muon", "experts", "raw")],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with wikitext2")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpus and results")
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="all by default")
    parser.add_argument("--repeat", action="store_true", help="a second seed near the best rates")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    tokens, held_out = prepare(options.data.resolve(), options.work)
    results = Results(options.work / "runs.jsonl")
    for part in options.part or PARTS:
        for arm in PARTS[part]:
            cells = cells_of(*arm, seed=int(options.repeat))
            run_cells(cells, results, tokens, held_out)


if __name__ == "__main__":
    main()

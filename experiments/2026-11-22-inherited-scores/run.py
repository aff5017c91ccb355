"""Eight networks scored with inherited weights and trained alone, on one text.

    python run.py TEXT_FOLDER OUTPUT_FOLDER [SECONDS]

Stops after so many seconds and goes on when started again; prints the correlations at the end.
"""

import json
import random
import sys
import time
from pathlib import Path

import torch
from scipy.stats import kendalltau, spearmanr

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.tokenizer import Tokenizer
from archsmith.evaluators.base import Request
from archsmith.evaluators.supernet import SharedWeightScoring, networks
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import SpaceConfig
from archsmith.train.recipe import Recipe
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.trial import Rung

ALONE_BYTES = 400_000
SHARED = {"sandwich": 2_400_000, "single_path": 1_200_000, "enas": 600_000, "darts": 400_000}
SPACE = SpaceConfig(
    families=("llama",),
    hidden_sizes=(32, 64),
    depths=(1, 2, 3, 4),
    head_dims=(16,),
    heads_per_kv_head=(1,),
    intermediate_ratios=(1.0, 2.0, 4.0),
    vocabularies=(Vocabulary(512, 128),),
    tie_word_embeddings=(True,),
    rope_thetas=(10_000.0,),
    quantizations=("F16",),
)


def main() -> None:
    """Do what is left, then tell."""
    text, output = sys.argv[1], Path(sys.argv[2])
    end = time.monotonic() + float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    torch.set_num_threads(1)
    corpus = Corpus.prepare(
        CorpusConfig(files=(text,), validation_fraction=0.05, test_fraction=0.05),
        output / "corpus",
    )
    if not (output / "tokenizer.json").exists():
        Tokenizer.train(corpus, vocab_size=512).save(output / "tokenizer.json")
    trunk = TrunkTraining(
        corpus=output / "corpus",
        tokenizer=output / "tokenizer.json",
        token_files=output / "tokens",
        recipe=Recipe(dtype="float32"),
        protocol=ScoringProtocol(max_bytes=1 << 16),
        quantized=False,
        device="cpu",
        checkpoint_seconds=15,
    )
    results = output / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}

    def score(
        kind: str, number: int, evaluator: object, rung: Rung | None, *, seed: int = 0, **options
    ):
        key = f"{kind} {number}"
        if key in found:
            return
        result = evaluator.evaluate(
            Request(
                architecture=chosen[number],
                rung=rung,
                seed=seed,
                checkpoint_dir=output / "jobs" / key.replace(" ", "-"),
                options=options,
                should_stop=lambda: time.monotonic() > end,
            )
        )
        if not result.complete:
            sys.exit(f"stopped in {key}; start again to go on")
        found[key] = result.metrics["bits_per_byte"]
        results.write_text(json.dumps(found, indent=1))

    shared = {
        method: SharedWeightScoring(
            folder=output / "supernets",
            space=SPACE,
            plan=SupernetPlan(method=method, train_bytes=train_bytes),
            trunk=trunk,
        )
        for method, train_bytes in SHARED.items()
    }
    parts = networks(shared["sandwich"])
    drawn = sorted(random.Random(1).sample(range(len(parts.members)), 10))
    chosen = [parts.member(number) for number in (drawn[0], *drawn[2:9])]
    rung = Rung(index=0, fraction=1.0, train_bytes=ALONE_BYTES)
    for number in range(len(chosen)):
        for method, evaluator in shared.items():
            score(method, number, evaluator, None)
        score("alone", number, trunk, rung, cooldown=True)
        score("alone again", number, trunk, rung, seed=1, cooldown=True)
    alone, again = (
        [found[f"{kind} {number}"] for number in range(len(chosen))]
        for kind in ("alone", "alone again")
    )
    mean = [sum(pair) / 2 for pair in zip(alone, again, strict=True)]
    rows = {m: [found[f"{m} {n}"] for n in range(len(chosen))] for m in SHARED}
    rows["non-embedding parameters"] = [-net.num_non_embedding_params for net in chosen]
    for name, values in rows.items():
        for what, target in (("seed 0", alone), ("seed 1", again), ("mean", mean)):
            tau, rho = kendalltau(values, target)[0], spearmanr(values, target)[0]
            print(f"{name:26} {what:7} tau {tau:.3f}  rho {rho:.3f}")
    print(f"{'the other seed':26} tau {kendalltau(again, alone)[0]:.3f}")


if __name__ == "__main__":
    main()

"""How much a higher rate of embeddings, head and norms is worth after a thousand updates.

    python run.py FILE ... --work OUT --train-bytes 2MB --factors 1 4 8

One network of the Llama shape (5 layers of 128, tied), trained on the same text with the recipe's
`embedding_learning_rate` of 0.004 times each factor, cooled down, scored on held-out text.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from archsmith.evaluators.base import Request
from archsmith.presets import scaled_llama
from archsmith.trial import Rung
from archsmith.units import parse_bytes
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import SearchConfig

BASE_RATE = 0.004
WIDTH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--exclude", nargs="*", default=[])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--train-bytes", type=parse_bytes, default=2_000_000)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0, 4.0, 8.0])
    options = parser.parse_args()
    config = SearchConfig.model_validate(
        {
            "study_name": "embedding-rate",
            "output_dir": ".",
            "n_trials": 1,
            "corpus": {
                "files": [str(Path(file).resolve()) for file in options.files],
                "exclude": options.exclude,
            },
            "tokenizer": {"vocab_sizes": [options.vocab_size], "trained_size": 8192},
            "training": {"batch_tokens": 512, "warmup_steps": 30},
            "plan": {"context_bytes": 768, "train_bytes": options.train_bytes},
            "protocol": {"context_bytes": 768, "stride_bytes": 384},
        }
    )
    pipeline = Pipeline(config, root=options.work, in_one_process=True)
    pipeline.prepare()
    shape = scaled_llama(
        WIDTH,
        vocab_size=options.vocab_size,
        context_tokens=pipeline.workspace.context_of(options.vocab_size),
        quantization="Q8_0",
    )
    for factor in options.factors:
        rate = factor * BASE_RATE
        recipe = config.training.model_copy(update={"embedding_learning_rate": rate})
        found = pipeline.evaluator(recipe).evaluate(
            Request(
                architecture=shape,
                rung=Rung(index=0, fraction=1.0, train_bytes=options.train_bytes),
                seed=0,
                checkpoint_dir=options.work / f"rate-{rate:g}",
                options={"cooldown": True},
            )
        )
        line = {
            "architecture": shape.summary(),
            "embedding_learning_rate": rate,
            "updates": found.details["step"],
            "bits_per_byte": round(found.metrics["bits_per_byte"], 4),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

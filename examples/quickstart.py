"""The whole job through Python, on a small generated text: search, train, export.

Writes into `quickstart-output` below the current folder. Takes under a minute on one core; started
again it continues, or finds everything done.
"""

import random
from pathlib import Path

from archsmith.cost.base import CostContext, static_metrics
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.export.layout import prefix_num_bytes
from archsmith.halving import plan_rungs
from archsmith.space import presets as spaces
from archsmith.space.dimensions import equal_context
from archsmith.study import create_study
from archsmith.train.recipe import Recipe
from archsmith.workflow.continuing import export_model
from archsmith.workflow.training import train_model

OUTPUT = Path("quickstart-output")
VOCAB_SIZES = (288, 352)


def write_text(folder: Path) -> None:
    """Four hundred short stories from a toy grammar, about 300 KB."""
    rng = random.Random(0)
    words = {
        "who": ["the old smith", "a young fox", "my sister", "the blue robot", "an honest judge"],
        "did": ["found", "mended", "forgot", "painted", "carried", "measured"],
        "what": ["a silver key", "the broken clock", "seven letters", "an empty boat", "bread"],
        "when": ["before sunrise", "in the rain", "on Monday", "without a word", "twice"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(400):
        lines = [" ".join(rng.choice(part) for part in words.values()) for _ in range(18)]
        (folder / f"{number:03}.txt").write_text(". ".join(lines).capitalize() + ".\n")


def main() -> None:
    """Search four candidates, train the best, export it."""
    text = OUTPUT / "text"
    if not text.exists():
        write_text(text)

    # 1. the text and its vocabularies
    corpus = Corpus.prepare(
        CorpusConfig(files=(str(text),), validation_fraction=0.05, test_fraction=0.05),
        OUTPUT / "corpus",
        root=Path(),
    )
    tokenizer = Tokenizer.train(corpus, vocab_size=max(VOCAB_SIZES))
    tokenizer.save(OUTPUT / "tokenizer.json")

    def tokens(split: Split, vocab_size: int) -> TokenFile:
        return TokenFile.build(corpus, split, tokenizer.prefix(vocab_size), OUTPUT / "tokens")

    bytes_per_token = {size: tokens(Split.SEARCH, size).bytes_per_token for size in VOCAB_SIZES}

    # 2. what is searched for: tiny networks whose file stays below 200 KiB
    costs = CostContext(tokenizer_bytes=prefix_num_bytes(tokenizer))
    study = create_study(
        study_name="quickstart",
        storage=OUTPUT / "studies.db",
        load_if_exists=True,
        space=spaces.tiny(
            vocabularies=equal_context(bytes_per_token, context_bytes=128),
            quantizations=("Q8_0", "Q4_0"),
        ),
        strategy="regularized_evolution",
        objectives=["bits_per_byte"],
        limits=["file_bytes <= 200KiB"],
        static_metrics=lambda architecture: static_metrics(architecture, costs),
        rungs=plan_rungs((0.3, 1.0), plan_bytes=200_000, min_bytes=50_000),
    )

    # 3. the search: trunks trained to the rungs, the worse half left behind
    recipe = Recipe(batch_tokens=512, warmup_steps=20)
    protocol = ScoringProtocol(context_bytes=128, stride_bytes=64, max_bytes=8192)
    evaluator = TrunkTraining(
        corpus=corpus.directory.absolute(),
        tokenizer=(OUTPUT / "tokenizer.json").absolute(),
        token_files=(OUTPUT / "tokens").absolute(),
        recipe=recipe,
        protocol=protocol,
    )
    study.optimize(evaluator, n_trials=4, executor="inline", threads=1)
    for trial in study.trials:
        score = trial.metrics.get("bits_per_byte")
        print(trial.number, trial.state.value, trial.architecture.summary(), score)

    # 4. the best trunk goes on from its checkpoint, then cools down
    best = study.best_trials[0]
    size = best.architecture.vocab_size
    trained = [job for job in best.jobs if job.checkpoint_out][-1]
    model = train_model(
        best.architecture,
        train_tokens=tokens(Split.TRAIN, size),
        validation_tokens=tokens(Split.SELECTION, size),
        tokenizer=tokenizer.prefix(size),
        recipe=recipe,
        protocol=protocol,
        output_dir=OUTPUT / "model",
        train_bytes=600_000,
        checkpoint=study.checkpoint_root / trained.checkpoint_out,
    )
    print(f"trained: {model.record.curve[-1][2]:.3f} bits per byte held out")

    # 5. both formats, reloaded by transformers and llama.cpp and compared
    exported = export_model(
        model, formats=("gguf", "huggingface"), output_dir=OUTPUT / "export", overwrite=True
    )
    for path in exported.paths:
        print("written:", path)


if __name__ == "__main__":
    main()

"""The whole job through Python, on a small generated text: search, train, export.

Writes into `quickstart-output` below the current folder. Takes under a minute on one core; started
again it continues, or finds everything done.
"""

import random
from pathlib import Path

import archsmith

OUTPUT = Path("quickstart-output")


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
    """Search four candidates, train the best on, export it."""
    text = OUTPUT / "text"
    if not text.exists():
        write_text(text)

    # the text, and its vocabulary; smaller vocabularies are its first merges
    corpus = archsmith.prepare_corpus(
        str(text), directory=OUTPUT / "corpus", validation_fraction=0.05, test_fraction=0.05
    )
    tokenizer = archsmith.Tokenizer.train(corpus, vocab_size=352)

    # what is searched for: tiny networks whose file stays below 200 KiB
    space = archsmith.space_for(
        tokenizer,
        corpus,
        vocab_sizes=(288, 352),
        context_bytes=128,
        hidden_sizes=(32, 64, 96),
        depths=(1, 2, 3),
        head_dims=(32,),
        quantizations=("Q8_0", "Q4_0"),
    )
    study = archsmith.create_study(
        study_name="quickstart",
        storage=OUTPUT / "studies.db",
        load_if_exists=True,
        space=space,
        tokenizer=tokenizer,
        limits=["file_bytes <= 200KiB"],
        train_bytes="1MB",
        rungs=(0.25, 0.5),
    )

    # the search: trunks are trained to the first rung, the best go on to the second
    evaluator = archsmith.trunk_training(corpus, tokenizer, work_dir=OUTPUT / "work")
    study.optimize(evaluator, n_trials=4, executor="inline", threads=1)
    for trial in study.trials:
        score = trial.metrics.get("bits_per_byte")
        print(trial.number, trial.state.value, trial.architecture.summary(), score)

    # the best trunk goes on from its checkpoint, then cools down
    best = study.best_trials[0]
    trunk = [job.checkpoint_out for job in best.jobs if job.checkpoint_out][-1]
    model = archsmith.train_model(
        best.architecture,
        corpus,
        tokenizer,
        train_bytes="1MB",
        output_dir=OUTPUT / "model",
        checkpoint=study.checkpoint_root / trunk,
    )
    print(f"trained: {model.record.curve[-1][2]:.3f} bits per byte held out")

    # both formats, reloaded by transformers and by llama.cpp and compared
    exported = archsmith.export_model(model, OUTPUT / "export", overwrite=True)
    for path in exported.paths:
        print("written:", path)


if __name__ == "__main__":
    main()

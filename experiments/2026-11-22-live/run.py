"""Search against one-shot shapes and the field's searches at equal CPU seconds, on two corpora.

    python run.py DATA --output-dir OUT --jobs 2

DATA holds WikiText-2's train.txt.gz, valid.txt.gz and test.txt.gz; the other corpus is the standard
library of this Python. An arm is one process with one thread and has BUDGET CPU seconds for
everything from the first proposal to the end of the last cooldown: search, selection, rate sweep,
final training. Preparing text and tokenizer, the same for all, is done once and not counted; nor is
scoring the file. A finished run is one JSON file; a second start does what is left, and a run that
was killed begins again. Arms, seeds and their order are fixed here. Seed 0 was the pilot on which
this protocol was settled, its test scores were seen, and it counts for nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.data.corpus import Split
from archsmith.device.environment import environment
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.score import score_gguf
from archsmith.store.records import TrialRecord
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.train.recipe import Recipe
from archsmith.workflow.demo import EXCLUDED
from archsmith.workflow.model_folder import TrainedModel
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.watcher import Watcher

BUDGET = 720.0  # CPU seconds of an arm
SEARCH_SHARE = 0.25
LIMITS = {"wikitext2": "1MiB", "stdlib": "2MiB"}
VOCABULARIES = (512, 1024, 2048, 4096, 8192)
PRIMARY = ("law_guided", "parameter_maximizer")
PRIMARY_SEEDS, OTHER_SEEDS = range(1, 6), range(1, 3)
RATE_FACTORS = (0.5, 1.0, 2.0)
# One to eight candidates fit in the time to search: five start points, as by default, would be
# all of them, and so would a generation of 20.
SEARCHES: dict[str, dict[str, Any]] = {
    "law_guided": {"type": "law_guided", "num_start": 1},
    "largest_five": {"type": "largest_five"},
    "random": {"type": "random"},
    "nsga2": {"type": "nsga2", "population_size": 4},
    "optuna_tpe": {"type": "optuna_tpe"},
}
N_TRIALS = {"largest_five": 5}
# As in `archsmith demo`, ours starts from the prior's suggestion; minutes allow no ladder.
FROM_SUGGESTION = ("law_guided",)


def plan() -> list[tuple[str, str, int]]:
    """(corpus, arm, seed) in the order they are run: the primary pairs first."""
    primary = [(c, arm, seed) for seed in PRIMARY_SEEDS for c in LIMITS for arm in PRIMARY]
    others = [
        (c, arm, seed)
        for seed in OTHER_SEEDS
        for c in LIMITS
        for arm in SEARCHES
        if arm not in PRIMARY
    ]
    return primary + others


def config_of(
    data: Path, corpus: str, arm: str, seed: int, vocabularies: tuple[int, ...] = VOCABULARIES
) -> SearchConfig:
    """The search file of a run."""
    texts: dict[str, Any] = {
        "wikitext2": {
            "files": [str(data / "train.txt.gz")],
            "validation_files": [str(data / "valid.txt.gz")],
            "test_files": [str(data / "test.txt.gz")],
            "continuous": True,
        },
        "stdlib": {"files": [sysconfig.get_paths()["stdlib"]], "exclude": list(EXCLUDED)},
    }
    return SearchConfig.model_validate(
        {
            "study_name": arm,
            "storage": "sqlite:///study.db",
            "output_dir": ".",
            "seed": seed,
            "objectives": ["bits_per_byte", "file_bytes"] if arm == "nsga2" else ["bits_per_byte"],
            "limits": [f"file_bytes <= {LIMITS[corpus]}"],
            "timeout": BUDGET,
            "n_trials": N_TRIALS.get(arm),
            "corpus": texts[corpus],
            # one tokenizer, whatever vocabularies an arm is offered
            "tokenizer": {"vocab_sizes": list(vocabularies), "trained_size": max(VOCABULARIES)},
            "space": {"preset": "portable", "quantizations": ["Q4_0", "Q8_0"]},
            "strategy": SEARCHES.get(arm, {"type": "random"}),
            "training": {"batch_tokens": 512, "warmup_steps": 30},
            "plan": {
                "context_bytes": 768,
                "search_share": SEARCH_SHARE,
                "rungs": [0.03],
                "calibrate": False,
            },
            "protocol": {"context_bytes": 768, "stride_bytes": 384},
        }
    )


def make_pipeline(config: SearchConfig, folder: Path) -> Pipeline:
    """On CPU time, with the budget of an arm."""
    pipeline = Pipeline(
        config, root=folder, watcher=_Log(), command="python run.py DATA", in_one_process=True
    )
    pipeline.budget = Budget(
        total_seconds=BUDGET,
        prepare_seconds=0.0,
        calibration_seconds=0.0,
        search_seconds=SEARCH_SHARE * BUDGET,
        training_seconds=(1 - SEARCH_SHARE) * BUDGET,
        export_seconds=0.0,
    )
    return pipeline


def cpu_seconds() -> float:
    """Of this process and of the children it waited for, which run finalists' files."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def search_arm(pipeline: Pipeline, arm: str, started: float) -> tuple[TrainedModel, dict[str, Any]]:
    """Search, select, and train the winner on for what is left."""
    suggestion = pipeline.suggestion()
    study = pipeline.study(suggestion, start_rows=1 if arm in FROM_SUGGESTION else 0)
    recipe = pipeline.config.training
    pipeline.search(study, recipe)
    winner = pipeline.select(study)
    before = cpu_seconds() - started
    model = pipeline.train(study, winner, recipe, max_seconds=BUDGET - before, num_threads=1)
    trials = study.trials
    own = next(trial for trial in trials if trial.number == winner.trial)
    return model, {
        "flops": sum(map(_flops, trials)) - _flops(own) + model.record.flops,
        "num_trials": len(trials),
        "num_trained": sum(trial.rung >= 0 for trial in trials),
        "seconds_before": before,
        "winner": winner.model_dump(mode="json"),
        "strategy_of_winner": [own.strategy, own.note],
        "trials": [
            {
                "number": trial.number,
                "architecture": trial.architecture.summary(),
                "proposed_by": trial.strategy,
                "note": trial.note,
                "rung": trial.rung,
                "bits_per_byte": trial.metrics.get("bits_per_byte"),
            }
            for trial in trials
        ],
    }


def one_shot_arm(
    data: Path, corpus: str, pipeline: Pipeline, folder: Path, started: float
) -> tuple[TrainedModel, dict[str, Any]]:
    """The maximizer's shape: its vocabulary and rate tuned on short cooled runs of the seconds that
    others search in, then all the rest of the budget on the best of these trunks."""
    config = pipeline.config
    vocabularies, factors = VOCABULARIES[1:], [f for f in RATE_FACTORS if f != 1.0]
    seconds = SEARCH_SHARE * BUDGET / (len(vocabularies) + len(factors))
    runs: list[dict[str, Any]] = []

    def tried(shape: Architecture, factor: float) -> None:
        recipe = scaled(config.training, factor)
        model = pipeline.train_arm(
            "tuning",
            shape,
            recipe=recipe,
            output_dir=folder / f"tuning-{len(runs)}",
            max_seconds=seconds,
            num_threads=1,
            num_readings=1,
        )
        run = {
            "architecture": shape,
            "recipe": recipe,
            "factor": factor,
            "bits_per_byte": model.record.curve[-1][2],
            "checkpoint": model.folder / "trunk",
            "flops": model.record.flops,
        }
        runs.append(run)
        print(f"  {shape.summary()} x{factor:g}: {run['bits_per_byte']:.4f}", flush=True)

    for size in vocabularies:
        own = Pipeline(config_of(data, corpus, "parameter_maximizer", config.seed, (size,)),
                       root=folder, in_one_process=True)  # fmt: skip
        problem = own.workspace.problem()
        tried(ParameterMaximizer().propose(problem, (), problem.rng(0)).architecture, 1.0)
    best = min(runs, key=lambda run: run["bits_per_byte"])
    for factor in factors:
        tried(best["architecture"], factor)
    best = min(runs, key=lambda run: run["bits_per_byte"])
    before = cpu_seconds() - started
    model = pipeline.train_arm(
        "parameter maximizer",
        best["architecture"],
        recipe=best["recipe"],
        output_dir=folder / "winner",
        max_seconds=BUDGET - before,
        checkpoint=best["checkpoint"],
        num_threads=1,
    )
    others = sum(run["flops"] for run in runs if run is not best)
    return model, {
        "flops": others + model.record.flops,
        "num_trials": len(runs),
        "num_trained": len(runs),
        "seconds_before": before,
        "trials": [
            {
                "architecture": run["architecture"].summary(),
                "factor": run["factor"],
                "bits_per_byte": run["bits_per_byte"],
            }
            for run in runs
        ],
    }


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with both rates times a factor."""
    return recipe.model_copy(
        update={
            "learning_rate": factor * recipe.learning_rate,
            "embedding_learning_rate": factor * recipe.embedding_learning_rate,
        }
    )


def run_arm(data: Path, output_dir: Path, corpus: str, arm: str, seed: int) -> None:
    """One run, from an empty folder to its JSON file."""
    folder = output_dir / corpus / f"{arm}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    link_prepared(output_dir, corpus, folder)
    pipeline = make_pipeline(config_of(data, corpus, arm, seed), folder)
    pipeline.prepare()
    assert pipeline.workspace.bytes_per_token
    started, wall = cpu_seconds(), time.monotonic()
    if arm in SEARCHES:
        model, found = search_arm(pipeline, arm, started)
    else:
        model, found = one_shot_arm(data, corpus, pipeline, folder, started)
    spent = cpu_seconds() - started
    wall_seconds = time.monotonic() - wall
    path = folder / "model.gguf"
    GGUF.write(
        path,
        weights=model.weights,
        architecture=model.architecture,
        tokenizer=model.tokenizer,
        metadata={},
    )
    tokens = pipeline.workspace.tokens(Split.TEST, model.architecture.vocab_size)
    opened = time.time()
    score = score_gguf(path, lambda tokenizer: tokens, pipeline.config.protocol)
    found |= {
        "corpus": corpus,
        "arm": arm,
        "seed": seed,
        "test_opened": opened,
        "bits_per_byte": score.bits_per_byte,
        "block_nats": score.block_nats,
        "block_bytes": score.block_bytes,
        "cpu_seconds": spent,
        "wall_seconds": wall_seconds,
        "file_bytes": path.stat().st_size,
        "architecture": model.architecture.summary(),
        "num_params": model.architecture.num_params,
        "num_non_embedding_params": model.architecture.num_non_embedding_params,
        "train_bytes": model.record.train_bytes,
        "epochs": model.record.epochs,
        "train_tokens_per_second": model.record.train_tokens / model.record.train_seconds,
        "curve": model.record.curve,
        "environment": environment().model_dump(mode="json"),
    }
    result(output_dir, corpus, arm, seed).write_text(json.dumps(found))
    for leftover in ("checkpoints", "winner", *(path.name for path in folder.glob("tuning-*"))):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    print(f"{corpus} {arm} {seed}: {score.bits_per_byte:.4f} bits per byte", flush=True)


def prepare(data: Path, output_dir: Path, corpus: str) -> None:
    """Text, tokenizer and token files, once for all arms."""
    folder = prepared(output_dir, corpus)
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = make_pipeline(config_of(data, corpus, "random", 0), folder)
    pipeline.prepare(encode=VOCABULARIES)
    for size in VOCABULARIES:
        pipeline.workspace.tokens(Split.TEST, size)
    (folder / "done").touch()


def link_prepared(output_dir: Path, corpus: str, folder: Path) -> None:
    """Let a run's folder begin with what is prepared."""
    for shared in ("corpus", "tokenizers", "tokens"):
        (folder / shared).symlink_to(prepared(output_dir, corpus).resolve() / shared)


def prepared(output_dir: Path, corpus: str) -> Path:
    return output_dir / "prepared" / corpus


def result(output_dir: Path, corpus: str, arm: str, seed: int) -> Path:
    return output_dir / "results" / f"{corpus}-{arm}-{seed}.json"


def run_all(data: Path, output_dir: Path, *, jobs: int) -> None:
    """What is left of the plan, `jobs` runs at a time."""
    (output_dir / "results").mkdir(parents=True, exist_ok=True)
    for corpus in LIMITS:
        prepare(data, output_dir, corpus)
    waiting = [run for run in plan() if not result(output_dir, *run).exists()]
    running: dict[tuple[str, str, int], subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            run = waiting.pop(0)
            corpus, arm, seed = run
            log = (output_dir / f"{corpus}-{arm}-{seed}.log").open("wb")
            command = [sys.executable, __file__, str(data), "--output-dir", str(output_dir)]
            command += ["--run", corpus, arm, str(seed)]
            running[run] = subprocess.Popen(command, stdout=log, stderr=log)
        time.sleep(1)
        for run, child in list(running.items()):
            if child.poll() is not None:
                del running[run]
                left = len(waiting) + len(running)
                words = f"{run}: exit {child.returncode}; {left} runs left"
                print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def _flops(trial: TrialRecord) -> float:
    """Training FLOPs of a trial's trunk and branches, from what its jobs recorded."""
    spent = [float(job.details.get("flops", 0.0)) for job in trial.jobs]
    branches = [float(job.details.get("branch_flops", 0.0)) for job in trial.jobs]
    return max(spent, default=0.0) + max(branches, default=0.0)


class _Log(Watcher):
    def phase(self, name: str, seconds: float | None) -> None:
        cpu = time.process_time()
        print(f"{time.strftime('%H:%M:%S')} {name} (CPU {cpu:.0f} s)", flush=True)

    def event(self, event: Any) -> None:
        if type(event).__name__ in ("Finished", "Failed", "Rejected", "Promoted"):
            print(f"  {type(event).__name__} {event}"[:200], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--run", nargs=3, metavar=("CORPUS", "ARM", "SEED"))
    options = parser.parse_args()
    data, output_dir = options.data.resolve(), options.output_dir.resolve()
    if options.run:
        corpus, arm, seed = options.run
        run_arm(data, output_dir, corpus, arm, int(seed))
    else:
        run_all(data, output_dir, jobs=options.jobs)


if __name__ == "__main__":
    main()

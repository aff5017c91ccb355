"""Dense networks against Mixture-of-Experts under the same limit, in one study per limit.

    python run.py DATA --output-dir OUT

DATA holds train.txt.gz, valid.txt.gz and test.txt.gz. Each study searches Llama-like and
Mixtral-like networks together, calibrates the rates of each kind at its best candidate, trains the
best of each kind with two seeds on equal bytes of text, and scores the quantized files on the test
text through llama.cpp. The two studies run side by side, one core each. A second start continues.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.data.corpus import Split
from archsmith.store.records import TrialRecord
from archsmith.train.recipe import Recipe
from archsmith.workflow.arms import train_arm
from archsmith.workflow.calibration import Calibration, KindCalibration, calibrate
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.scoring import count_words, word_perplexity
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.watcher import Watcher

LIMITS = {
    "bytes": "file_bytes <= 1MiB",
    "milliseconds": "decode_ms_per_token <= 0.35",
}
N_TRIALS = 20
SEEDS = (0, 1)
TRAIN_BYTES = 3_000_000
RUNG = 0.1


def config_of(data: Path, name: str, *, n_trials: int, train_bytes: int) -> SearchConfig:
    """The search file of one limit."""
    return SearchConfig.model_validate(
        {
            "study_name": name,
            "storage": f"sqlite:///{name}.db",
            "output_dir": ".",
            "limits": [LIMITS[name]],
            "n_trials": n_trials,
            "corpus": {
                "files": [str(data / "train.txt.gz")],
                "validation_files": [str(data / "valid.txt.gz")],
                "test_files": [str(data / "test.txt.gz")],
                "continuous": True,
            },
            "tokenizer": {"vocab_sizes": [4096]},
            "space": {
                "families": ["llama", "mixtral"],
                "max_params": 12_000_000,
                "hidden_sizes": [64, 96, 128, 160, 192, 256],
                "depths": [1, 2, 3, 4, 6],
                "num_experts": [4, 8, 16],
                "num_experts_per_tok": [2, 4],
                "quantizations": ["Q4_0", "Q8_0"],
            },
            # a family uniformly, then one of its points: both kinds are tried equally often
            "strategy": {"type": "random"},
            "training": {"batch_tokens": 512, "warmup_steps": 30},
            "plan": {"context_bytes": 512, "train_bytes": train_bytes, "rungs": [RUNG]},
            "protocol": {"context_bytes": 512, "stride_bytes": 256},
        }
    )


def run_study(data: Path, folder: Path, name: str, *, n_trials: int, train_bytes: int) -> None:
    """Search, calibrate, train the best of each kind, score."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline(
        config_of(data, name, n_trials=n_trials, train_bytes=train_bytes),
        root=folder,
        watcher=_Log(),
        command="python run.py DATA --output-dir OUT",
    )
    pipeline.prepare()
    # dense and experts are compared, not the prior: no start points
    study = pipeline.study(pipeline.suggestion(), start_rows=0)
    pipeline.search(study, pipeline.config.training)
    trials = [trial for trial in study.trials if trial.rung >= 0]
    best = {kind: _best(trials, experts=kind == "experts") for kind in ("dense", "experts")}
    recipe = _calibrated(pipeline, [trial.architecture for trial in best.values() if trial])
    words = count_words(pipeline.workspace.corpus, Split.TEST)
    rows = []
    for kind, trial in best.items():
        if trial is None:
            continue
        for seed in SEEDS:
            found = _train(
                pipeline, f"{kind} {seed}", trial.architecture, recipe, seed, train_bytes
            )
            nats = sum(found["arm"]["block_nats"])
            rows.append(
                found
                | {
                    "kind": kind,
                    "seed": seed,
                    "trial": trial.number,
                    "tried": sum(
                        one.architecture.has_experts == (kind == "experts") for one in trials
                    ),
                    "rung_bits_per_byte": _score(trial),
                    "word_perplexity": word_perplexity(nats, words),
                }
            )
    result = {
        "limit": LIMITS[name],
        "num_trials": len(study.trials),
        "recipe": recipe.model_dump(mode="json"),
        "rows": rows,
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1))


def _best(trials: list[TrialRecord], *, experts: bool) -> TrialRecord | None:
    own = [trial for trial in trials if trial.architecture.has_experts == experts]
    return min(own, key=_score, default=None)


def _score(trial: TrialRecord) -> float:
    return float(trial.metrics["bits_per_byte"])


def _calibrated(pipeline: Pipeline, architectures: list[Architecture]) -> Recipe:
    """The recipe with each kind's rates, tried as long as a rung; kept for a second start."""
    config = pipeline.config
    found = []
    for architecture in architectures:
        kind = "experts" if architecture.has_experts else "dense"
        kept = pipeline.workspace.output_dir / f"calibration-{kind}.json"
        if not kept.exists():
            calibrated = calibrate(
                pipeline.evaluator(config.training),
                architecture,
                train_bytes=round(RUNG * (config.plan.train_bytes or 0)),
                n_jobs=1,
                num_threads=1,
                seed=config.seed,
            )
            kept.write_text(calibrated.model_dump_json(indent=1))
        found.append(KindCalibration.model_validate_json(kept.read_text()))
    return config.training.model_copy(update=Calibration.of(found).recipe_changes())


def _train(
    pipeline: Pipeline,
    name: str,
    architecture: Architecture,
    recipe: Recipe,
    seed: int,
    train_bytes: int,
) -> dict[str, Any]:
    task = pipeline.arm_task(name, architecture, recipe=recipe, train_bytes=train_bytes)
    task = task.model_copy(update={"seed": seed})
    train_arm(task, on_progress=lambda progress: None)
    model = load_model_folder(task.output_dir)
    arm = pipeline.hand_over(model, name=name, kind="baseline", trial=None).arm
    return {
        "arm": arm.model_dump(mode="json"),
        "summary": architecture.summary(),
        "architecture": architecture.model_dump(mode="json"),
        "num_params": architecture.num_params,
        "num_active_params": architecture.num_active_params,
        "train_seconds": model.record.train_seconds,
        "flops": model.record.flops,
    }


class _Log(Watcher):
    def phase(self, name: str, seconds: float | None) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)

    def event(self, event: Any) -> None:
        if type(event).__name__ in ("Finished", "Failed", "Rejected"):
            print(f"  {event}"[:160], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--n-trials", type=int, default=N_TRIALS)
    parser.add_argument("--train-bytes", type=int, default=TRAIN_BYTES)
    parser.add_argument("--limit", choices=sorted(LIMITS))
    options = parser.parse_args()
    data, output_dir = options.data.resolve(), options.output_dir.resolve()
    if options.limit:
        run_study(
            data,
            output_dir / options.limit,
            options.limit,
            n_trials=options.n_trials,
            train_bytes=options.train_bytes,
        )
        return
    children = [
        subprocess.Popen([sys.executable, *sys.argv, "--limit", name])
        for name in LIMITS
        if not (output_dir / name / "result.json").exists()
    ]
    sys.exit(max((child.wait() for child in children), default=0))


if __name__ == "__main__":
    main()

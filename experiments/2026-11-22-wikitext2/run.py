"""Strategies against the parameter maximizer on WikiText-2, at equal FLOPs in all.

    python run.py DATA --output-dir OUT --jobs 2

DATA holds train.txt.gz, valid.txt.gz and test.txt.gz. Search arms each try `N_TRIALS` candidates,
then train their winner; one-shot arms train their one shape for as many FLOPs as the dearest
search arm spent in all. Every arm is scored on the official test text, through llama.cpp, from its
quantized file. A second start continues.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from archsmith.data.corpus import Split
from archsmith.errors import InfeasibleError
from archsmith.store.records import TrialRecord
from archsmith.strategies.llama_shape import LlamaShape
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.strategies.phi3_shape import Phi3Shape
from archsmith.workflow.arms import train_arm
from archsmith.workflow.model_folder import load_model_folder
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.scoring import count_words, word_perplexity
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.watcher import Watcher

N_TRIALS = 30
LIMITS = ("file_bytes <= 512KiB",)
TRAIN_BYTES = 1_000_000
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"type": "random"},
    "regularized_evolution": {
        "type": "regularized_evolution",
        "population_size": 10,
        "sample_size": 4,
    },
    "nsga2": {"type": "nsga2", "population_size": 10},
}
ONE_SHOT = {
    "parameter maximizer": ParameterMaximizer(),
    "llama_shape": LlamaShape(),
    "phi3_shape": Phi3Shape(),
}


class Size(NamedTuple):
    """How much is tried and trained."""

    n_trials: int
    train_bytes: int


def config_of(data: Path, name: str, size: Size) -> SearchConfig:
    """The search file of an arm."""
    strategy = SEARCHES.get(name, {"type": "random"})
    return SearchConfig.model_validate(
        {
            "study_name": name.replace(" ", "-"),
            "storage": f"sqlite:///{name.replace(' ', '-')}.db",
            "output_dir": ".",
            "objectives": ["bits_per_byte", "file_bytes"] if name == "nsga2" else ["bits_per_byte"],
            "limits": list(LIMITS),
            "n_trials": size.n_trials,
            "corpus": {
                "files": [str(data / "train.txt.gz")],
                "validation_files": [str(data / "valid.txt.gz")],
                "test_files": [str(data / "test.txt.gz")],
                "continuous": True,
            },
            "tokenizer": {"vocab_sizes": [512, 1024, 2048, 4096]},
            "space": {
                "preset": "portable",
                "depths": [1, 2, 3, 4, 6, 8],
                "quantizations": ["Q4_0", "Q8_0"],
            },
            "strategy": strategy,
            "training": {"batch_tokens": 192, "warmup_steps": 30},
            "plan": {
                "context_bytes": 512,
                "train_bytes": size.train_bytes,
                "rungs": [0.12, 0.36],
                "reduction_factor": 4,
                "finalists": 3,
            },
            "protocol": {"context_bytes": 512, "stride_bytes": 256},
        }
    )


def search_arm(pipeline: Pipeline) -> dict[str, Any]:
    """Search, select, train; what was spent on it."""
    pipeline.prepare()
    suggestion = pipeline.suggestion()
    # strategies are compared, not the prior: no start points
    study = pipeline.study(suggestion, start_rows=0)
    recipe = pipeline.config.training
    pipeline.search(study, recipe)
    winner = pipeline.select(study)
    model = pipeline.train(study, winner, recipe, num_threads=1)
    trials = study.trials
    trained = [trial for trial in trials if trial.rung >= 0]
    own = next(trial for trial in trials if trial.number == winner.trial)
    flops = sum(_flops(trial) for trial in trials) - _flops(own) + model.record.flops
    done = pipeline.hand_over(model, name="model", trial=winner.trial)
    pipeline.record_arms([done.arm, *pipeline.floors()])
    return {
        "arm": done.arm.model_dump(mode="json"),
        "flops": flops,
        "num_trials": len(trials),
        "num_trained": len(trained),
        "winner": winner.model_dump(mode="json"),
    }


def _flops(trial: TrialRecord) -> float:
    """Training FLOPs of a trial's trunk and branches, from what its jobs recorded."""
    spent = [float(job.details.get("flops", 0.0)) for job in trial.jobs]
    branches = [float(job.details.get("branch_flops", 0.0)) for job in trial.jobs]
    return max(spent, default=0.0) + max(branches, default=0.0)


def one_shot_arm(pipeline: Pipeline, name: str, flops: float) -> dict[str, Any]:
    """Train one shape until the FLOPs are spent."""
    pipeline.prepare()
    problem = pipeline.workspace.problem()
    shape = ONE_SHOT[name].propose(problem, (), problem.rng(0)).architecture
    tokens = flops / 3.0 / shape.flops_per_token()
    train_bytes = round(tokens * pipeline.workspace.bytes_per_token[shape.vocab_size])
    task = pipeline.arm_task(name, shape, recipe=pipeline.config.training, train_bytes=train_bytes)
    train_arm(task, on_progress=lambda progress: None)
    # the study exists for its report: no trial of its own
    pipeline.study(pipeline.suggestion(), start_rows=0)
    model = load_model_folder(task.output_dir)
    done = pipeline.hand_over(model, name="model", kind="baseline", trial=None)
    return {
        "arm": done.arm.model_dump(mode="json"),
        "flops": model.record.flops,
        "num_trials": 1,
        "num_trained": 1,
    }


def run_arm(data: Path, output_dir: Path, name: str, *, size: Size, flops: float) -> None:
    """One arm into its folder."""
    folder = output_dir / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    started, cpu = time.time(), time.process_time()
    pipeline = Pipeline(
        config_of(data, name, size),
        root=folder,
        watcher=_Log(),
        command=f"python run.py DATA --output-dir OUT (arm {name})",
    )
    found = search_arm(pipeline) if name in SEARCHES else one_shot_arm(pipeline, name, flops)
    words = count_words(pipeline.workspace.corpus, Split.TEST)
    metrics = found["arm"]["metrics"]
    nats = sum(found["arm"]["block_nats"])
    found |= {
        "name": name,
        "wall_seconds": time.time() - started,
        "driver_cpu_seconds": time.process_time() - cpu,
        "word_perplexity": word_perplexity(nats, words),
        "num_words": words,
    }
    (folder / "result.json").write_text(json.dumps(found, indent=1))
    print(f"{name}: {metrics['bits_per_byte']:.4f} bits per byte", flush=True)


class _Log(Watcher):
    def phase(self, name: str, seconds: float | None) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)

    def event(self, event: Any) -> None:
        kind = type(event).__name__
        if kind in ("Finished", "Failed", "Rejected", "Promoted"):
            print(f"  {kind} {event}"[:200], flush=True)


def run_all(data: Path, output_dir: Path, *, size: Size, jobs: int) -> None:
    """All arms, `jobs` at a time; one-shot arms after the searches, whose cost they match."""
    first = [name for name in SEARCHES if name != "nsga2"]
    _run_group(data, output_dir, first, size=size, jobs=jobs, flops=0.0)
    spent = [json.loads(_result(output_dir, name).read_text())["flops"] for name in first]
    rest = ["nsga2", *ONE_SHOT]
    _run_group(data, output_dir, rest, size=size, jobs=jobs, flops=max(spent))


def _run_group(
    data: Path, output_dir: Path, names: list[str], *, size: Size, jobs: int, flops: float
) -> None:
    waiting = [name for name in names if not _result(output_dir, name).exists()]
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            log = (output_dir / f"{name.replace(' ', '-')}.log").open("ab")
            running[name] = subprocess.Popen(
                [
                    sys.executable, __file__, str(data), "--output-dir", str(output_dir),
                    "--arm", name, "--flops", str(flops), "--n-trials", str(size.n_trials),
                    "--train-bytes", str(size.train_bytes),
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        time.sleep(1)
        for name, child in list(running.items()):
            if child.poll() is not None:
                del running[name]
                print(f"{time.strftime('%H:%M:%S')} {name}: exit {child.returncode}", flush=True)


def _result(output_dir: Path, name: str) -> Path:
    return output_dir / name.replace(" ", "-") / "result.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--n-trials", type=int, default=N_TRIALS)
    parser.add_argument("--train-bytes", type=int, default=TRAIN_BYTES)
    parser.add_argument("--arm")
    parser.add_argument("--flops", type=float, default=0.0)
    options = parser.parse_args()
    data, output_dir = options.data.resolve(), options.output_dir.resolve()
    output_dir.mkdir(parents=True, exist_ok=True)
    size = Size(options.n_trials, options.train_bytes)
    try:
        if options.arm:
            run_arm(data, output_dir, options.arm, size=size, flops=options.flops)
        else:
            run_all(data, output_dir, size=size, jobs=options.jobs)
    except InfeasibleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""How well zero-cost proxies rank networks that were really trained: Kendall's tau, with intervals.

    python benchmarks/zero_cost_rank.py study STORAGE STUDY
    python benchmarks/zero_cost_rank.py sweep FILES... --output-dir OUT --networks 10

`study` takes the trials of a search at the rung that most of them finished. `sweep` trains small
random networks itself, each on the same bytes of text, cools them down and scores them on held-out
text; a second start goes on. Both compute the proxies of `archsmith.evaluators.zero_cost` for the
same networks, and print tau between proxy and minus bits per byte: 1 is the same order, 0 no
relation. Intervals: percentile bootstrap over networks.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from archsmith.architecture.tree import Architecture
from archsmith.config import canonical_json
from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError
from archsmith.evaluators.base import Request
from archsmith.evaluators.trunk_training import TrunkTraining
from archsmith.evaluators.zero_cost import PROXIES, ZeroCost
from archsmith.runtime.parts import stored_evaluator
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import SpaceConfig
from archsmith.store.store import connect
from archsmith.train.recipe import Recipe
from archsmith.trial import Rung

VOCABULARIES = (512, 1024, 2048)
CONTEXT_BYTES = 512
Pairs = list[tuple[dict[str, float], float]]


def of_study(storage: str, name: str, folder: Path) -> Pairs:
    """Proxies and bits per byte of a study's trials."""
    store = connect(storage, read_only=True)
    trained_by = stored_evaluator(store, name)
    if not isinstance(trained_by, TrunkTraining):
        raise ConfigError(f"study '{name}' was not trained by trunk_training")
    trials = [trial for trial in store.trials(name) if trial.rung >= 0]
    rungs = [job.rung for trial in trials for job in trial.jobs if "bits_per_byte" in job.metrics]
    rung = max(set(rungs), key=lambda one: (rungs.count(one), one))
    proxy = ZeroCost(
        corpus=trained_by.corpus,
        tokenizer=trained_by.tokenizer,
        token_files=trained_by.token_files,
        context_bytes=CONTEXT_BYTES,
    )
    print(f"study {name}, rung {rung}")
    return [
        (
            dict(proxy.evaluate(_request(trial.architecture, folder)).metrics),
            trial.metrics_at(rung)["bits_per_byte"],
        )
        for trial in trials
        if "bits_per_byte" in trial.metrics_at(rung)
    ]


def of_sweep(
    files: Sequence[str], folder: Path, *, networks: int, train_bytes: int, seed: int
) -> Pairs:
    """Train random networks of the portable space and of the experts' one; kept in a file."""
    config = CorpusConfig(files=tuple(files), near_duplicates=False)
    corpus = Corpus.prepare(config, folder / "corpus")
    if not (folder / "tokenizer.json").is_file():
        Tokenizer.train(corpus, vocab_size=max(VOCABULARIES)).save(folder / "tokenizer.json")
    parts = {
        "corpus": folder / "corpus",
        "tokenizer": folder / "tokenizer.json",
        "token_files": folder / "tokens",
    }
    training = TrunkTraining(
        **parts,
        recipe=Recipe(batch_tokens=512, warmup_steps=20, dtype="float32"),
        protocol=ScoringProtocol(
            context_bytes=CONTEXT_BYTES, stride_bytes=CONTEXT_BYTES // 2, max_bytes=1 << 16
        ),
        quantized=False,
        clock="cpu",
    )
    proxy = ZeroCost(**parts, context_bytes=CONTEXT_BYTES)
    pairs: Pairs = []
    for number, architecture in enumerate(draw(networks, seed=seed)):
        path = folder / f"network-{number}-{architecture.hash[:8]}.json"
        if not path.is_file():
            options = {"cooldown": True}
            rung = Rung(index=0, fraction=1.0, train_bytes=train_bytes)
            trained = training.evaluate(
                _request(architecture, folder / path.stem, rung=rung, options=options)
            )
            found = proxy.evaluate(_request(architecture, folder))
            metrics = {**found.metrics, **trained.metrics}
            path.write_text(
                json.dumps({"metrics": metrics, "tree": json.loads(canonical_json(architecture))})
            )
        metrics = json.loads(path.read_text())["metrics"]
        print(
            f"{architecture.summary()}: {metrics['bits_per_byte']:.4f} bits per byte after "
            f"{metrics['train_seconds']:.0f} CPU seconds",
            flush=True,
        )
        pairs.append(({name: metrics[name] for name in PROXIES}, metrics["bits_per_byte"]))
    return pairs


def draw(count: int, *, seed: int) -> list[Architecture]:
    """Random networks of 60K to 900K parameters; every fourth has experts."""
    rng, found = random.Random(seed), []
    spaces = {
        name: SpaceConfig(preset=name).build([Vocabulary(size, 256) for size in VOCABULARIES])
        for name in ("portable", "moe")
    }
    while len(found) < count:
        space = spaces["moe" if len(found) % 4 == 3 else "portable"]
        point = space.sample(rng)
        if 6e4 <= point.num_params <= 9e5 and point.num_hidden_layers <= 6 and point not in found:
            found.append(point)
    return found


def table(pairs: Pairs, *, seed: int = 0, draws: int = 2000) -> str:
    """Markdown: tau of each proxy with its interval, the largest first."""
    scores = -np.array([score for _, score in pairs])
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, len(scores), (draws, len(scores)))
    rows = []
    for name in PROXIES:
        values = np.array([found[name] for found, _ in pairs])
        tau = float(kendalltau(values, scores).statistic)
        drawn = [kendalltau(values[one], scores[one]).statistic for one in samples]
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        rows.append((tau, f"| {name} | {tau:+.2f} | [{low:+.2f}, {high:+.2f}] |"))
    head = ["| proxy | Kendall tau | 95 % interval |", "| --- | --- | --- |"]
    ordered = sorted(rows, key=lambda row: -row[0] if math.isfinite(row[0]) else 9)
    return "\n".join([*head, *(line for _, line in ordered)])


def _request(
    architecture: Architecture,
    folder: Path,
    *,
    rung: Rung | None = None,
    options: dict[str, bool] | None = None,
) -> Request:
    folder.mkdir(parents=True, exist_ok=True)
    return Request(
        architecture=architecture, rung=rung, seed=0, checkpoint_dir=folder, options=options or {}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    study = kinds.add_parser("study")
    study.add_argument("storage")
    study.add_argument("name")
    sweep = kinds.add_parser("sweep")
    sweep.add_argument("files", nargs="+")
    sweep.add_argument("--networks", type=int, default=10)
    sweep.add_argument("--train-bytes", type=int, default=300_000)
    sweep.add_argument("--seed", type=int, default=0)
    for one in (study, sweep):
        one.add_argument("--output-dir", type=Path, default=Path("zero-cost"))
    given = parser.parse_args()
    given.output_dir.mkdir(parents=True, exist_ok=True)
    if given.kind == "study":
        pairs = of_study(given.storage, given.name, given.output_dir)
    else:
        pairs = of_sweep(
            given.files, given.output_dir, networks=given.networks,
            train_bytes=given.train_bytes, seed=given.seed,
        )  # fmt: skip
    print(f"\n{len(pairs)} networks\n\n{table(pairs)}")


if __name__ == "__main__":
    main()

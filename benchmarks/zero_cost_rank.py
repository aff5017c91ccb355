"""How well zero-cost proxies rank networks that were really trained: Kendall's tau, with intervals.

    python benchmarks/zero_cost_rank.py study STORAGE STUDY
    python benchmarks/zero_cost_rank.py sweep FILES... --output-dir OUT --networks 10

`study` takes the trials of a search at the rung that most of them finished. `sweep` trains small
random networks itself, each on the same bytes of text, cools them down and scores them on held-out
text; a second start goes on. Both compute the proxies of `archsmith.evaluators.zero_cost` for the
same networks, and print tau between proxy and minus bits per byte: 1 is the same order, 0 no
relation.

Tau is that of all pairs of networks, of pairs with the same vocabulary, and of pairs whose
parameter counts differ by a factor of `CLOSE` at most, where a proxy that only counts parameters
shows nothing. The vocabulary itself stands in the table as if it were a proxy: what ranks like it
may do no more than tell it. Intervals: percentile bootstrap over networks.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

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

CONTEXT_TOKENS = 256  # of the networks that a sweep trains
WIDTHS = (32, 64, 96, 128, 160, 192, 256)  # and their layers, few enough that a draw may fit
DEPTHS = (1, 2, 3, 4, 6)
CLOSE = 1.25


class Ranked(NamedTuple):
    """A network with its proxies before training and what training made of it."""

    architecture: Architecture
    proxies: dict[str, float]
    bits_per_byte: float


def of_study(storage: str, name: str, folder: Path) -> list[Ranked]:
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
    )
    print(f"study {name}, rung {rung}")
    return [
        Ranked(
            trial.architecture,
            dict(proxy.evaluate(_request(trial.architecture, folder)).metrics),
            trial.metrics_at(rung)["bits_per_byte"],
        )
        for trial in trials
        if "bits_per_byte" in trial.metrics_at(rung)
    ]


def of_sweep(
    files: Sequence[str],
    folder: Path,
    *,
    networks: int,
    vocab_sizes: Sequence[int],
    params: tuple[float, float],
    train_bytes: int,
    seed: int,
) -> list[Ranked]:
    """Train random networks of the portable space and of the experts' one; kept in files."""
    config = CorpusConfig(files=tuple(files), near_duplicates=False)
    corpus = Corpus.prepare(config, folder / "corpus")
    if not (folder / "tokenizer.json").is_file():
        Tokenizer.train(corpus, vocab_size=max(vocab_sizes)).save(folder / "tokenizer.json")
    parts = {
        "corpus": folder / "corpus",
        "tokenizer": folder / "tokenizer.json",
        "token_files": folder / "tokens",
    }
    training = TrunkTraining(
        **parts,
        recipe=Recipe(batch_tokens=512, warmup_steps=20, dtype="float32"),
        protocol=ScoringProtocol(context_bytes=512, stride_bytes=256, max_bytes=1 << 16),
        quantized=False,
        clock="cpu",
    )
    proxy = ZeroCost(**parts)
    ranked: list[Ranked] = []
    for number, network in enumerate(
        draw(networks, vocab_sizes=vocab_sizes, params=params, seed=seed)
    ):
        path = folder / f"network-{number}-{network.hash[:8]}.json"
        if not path.is_file():
            rung = Rung(index=0, fraction=1.0, train_bytes=train_bytes)
            trained = training.evaluate(
                _request(network, folder / path.stem, rung=rung, options={"cooldown": True})
            )
            tree = json.loads(canonical_json(network))
            path.write_text(json.dumps({"metrics": dict(trained.metrics), "tree": tree}))
        metrics = json.loads(path.read_text())["metrics"]
        print(
            f"{network.summary()}: {metrics['bits_per_byte']:.4f} bits per byte after "
            f"{metrics['train_seconds']:.0f} CPU seconds",
            flush=True,
        )
        found = proxy.evaluate(_request(network, folder)).metrics
        ranked.append(Ranked(network, dict(found), metrics["bits_per_byte"]))
    return ranked


def draw(
    count: int, *, vocab_sizes: Sequence[int], params: tuple[float, float], seed: int
) -> list[Architecture]:
    """Random networks of so many parameters; every fourth has experts."""
    rng, found = random.Random(seed), []
    vocabularies = [Vocabulary(size, CONTEXT_TOKENS) for size in vocab_sizes]
    spaces = {
        name: SpaceConfig(preset=name, hidden_sizes=WIDTHS, depths=DEPTHS).build(vocabularies)
        for name in ("portable", "moe")
    }
    low, high = params
    while len(found) < count:
        space = spaces["moe" if len(found) % 4 == 3 else "portable"]
        point = space.sample(rng)
        if low <= point.num_params <= high and point not in found:
            found.append(point)
    return found


def table(ranked: Sequence[Ranked], *, seed: int = 0, draws: int = 2000) -> str:
    """Markdown: tau of each proxy with its interval for each set of pairs, the largest first."""
    sizes = np.array([one.architecture.num_params for one in ranked])
    vocabularies = np.array([one.architecture.vocab_size for one in ranked])
    close = np.maximum(sizes[:, None] / sizes, sizes / sizes[:, None]) <= CLOSE
    same = vocabularies[:, None] == vocabularies
    sets = {"all": np.ones_like(same), "one vocabulary": same, "and close in size": same & close}
    scores = -np.array([one.bits_per_byte for one in ranked])
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, len(ranked), (draws, len(ranked)))
    times = np.stack([np.bincount(one, minlength=len(ranked)) for one in samples])
    rows = []
    for name in ("vocab_size", *PROXIES):
        values = vocabularies if name == "vocab_size" else [one.proxies[name] for one in ranked]
        found = [tau(np.array(values), scores, among, times) for among in sets.values()]
        cells = " | ".join(_cell(point, drawn) for point, drawn in found)
        rows.append((found[0][0], f"| {name} | {cells} |"))
    pairs = [f"{name}: {(np.triu(among, 1)).sum()} pairs" for name, among in sets.items()]
    head = [f"| proxy | {' | '.join(pairs)} |", "| --- " * (1 + len(sets)) + "|"]
    ordered = sorted(rows, key=lambda row: -row[0] if math.isfinite(row[0]) else 9)
    return "\n".join([*head, *(line for _, line in ordered)])


def tau(
    x: np.ndarray, y: np.ndarray, among: np.ndarray, times: np.ndarray
) -> tuple[float, np.ndarray]:
    """Kendall's tau-b over the pairs `among`, and of each draw that has each network so often.

    nan where no pair is left that both put into an order.
    """
    x_order, y_order = (np.sign(one[:, None] - one) * among for one in (x, y))

    def of(weights: np.ndarray) -> np.ndarray:
        both, of_x, of_y = (
            np.einsum("di,ij,dj->d", weights, product, weights, optimize=True)
            for product in (x_order * y_order, x_order**2, y_order**2)
        )
        with np.errstate(invalid="ignore"):
            return both / np.sqrt(of_x * of_y)

    return float(of(np.ones((1, len(x))))[0]), of(times.astype(float))


def _cell(point: float, drawn: np.ndarray) -> str:
    if not math.isfinite(point):
        return "-"
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    study = kinds.add_parser("study")
    study.add_argument("storage")
    study.add_argument("name")
    sweep = kinds.add_parser("sweep")
    sweep.add_argument("files", nargs="+")
    sweep.add_argument("--networks", type=int, default=10)
    sweep.add_argument("--vocab-sizes", type=int, nargs="+", default=[512, 1024, 2048])
    sweep.add_argument("--params", type=float, nargs=2, default=[6e4, 9e5])
    sweep.add_argument("--train-bytes", type=int, default=300_000)
    sweep.add_argument("--seed", type=int, default=0)
    for one in (study, sweep):
        one.add_argument("--output-dir", type=Path, default=Path("zero-cost"))
    given = parser.parse_args(arguments)
    given.output_dir.mkdir(parents=True, exist_ok=True)
    if given.kind == "study":
        ranked = of_study(given.storage, given.name, given.output_dir)
    else:
        ranked = of_sweep(
            given.files, given.output_dir, networks=given.networks, vocab_sizes=given.vocab_sizes,
            params=tuple(given.params), train_bytes=given.train_bytes, seed=given.seed,
        )  # fmt: skip
    print(f"\n{len(ranked)} networks\n\n{table(ranked)}")


if __name__ == "__main__":
    main()

"""Fit the shipped prior to measured runs, and measure its error on runs left out.

    python experiments/2026-11-22-prior/fit.py experiments/2026-11-22-prior/runs.csv \\
        --output src/archsmith/prior.json
"""

import argparse
import csv
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from archsmith.errors import ConfigError
from archsmith.prior import Coefficients, Prior, Run, bits_per_byte

COLUMNS = (
    "corpus", "xz_bits_per_byte", "ngram_bits_per_byte", "hidden_size", "num_hidden_layers",
    "num_non_embedding_params", "vocab_size", "context_tokens", "train_bytes", "bits_per_byte",
    "cooled",
)  # fmt: skip
# Where the search for coefficients begins, and how far it may go; exponents as in the literature
# lie between 0.1 and 1, widths per layer between 4 and 500.
_NAMES = tuple(Coefficients.model_fields)
_START = (0.3, 0.5, 0.35, 1.0, 0.35, 0.02, 40.0, 0.01, 0.3, 1.0)
_LOW = (1e-6, 1e-4, 0.05, 1e-4, 0.05, 1e-6, 4.0, 1e-6, 1e-3, 0.01)
_HIGH = (3.0, 20.0, 1.5, 20.0, 1.5, 0.5, 500.0, 0.5, 30.0, 3.0)
# What small networks read for minutes cannot tell, and larger ones read for weeks did: the
# exponents of size and text, and what is left in the end (Hoffmann et al. 2022, arXiv 2203.15556,
# approach 3: 0.34, 0.28, 1.69 nats a token of some 4.5 bytes). Value and relative uncertainty.
ANCHORS = {
    "size_exponent": (0.34, 0.3),
    "text_exponent": (0.28, 0.3),
    "irreducible": (0.54, 0.5),
}
_ANCHOR_WEIGHT = 0.02  # an anchor missed by its uncertainty counts as a run missed by this


class Measured(NamedTuple):
    corpus: str
    run: Run
    bits_per_byte: float


def read_runs(path: Path) -> list[Measured]:
    """The cooled-down runs of a table. Raises ConfigError."""
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise ConfigError(f"{path}: the columns {sorted(missing)} are missing")
        return [
            Measured(
                row["corpus"],
                Run(
                    hidden_size=int(row["hidden_size"]),
                    num_hidden_layers=int(row["num_hidden_layers"]),
                    num_non_embedding_params=int(row["num_non_embedding_params"]),
                    vocab_size=int(row["vocab_size"]),
                    train_bytes=float(row["train_bytes"]),
                    corpus_bits_per_byte=float(row["ngram_bits_per_byte"]),
                ),
                float(row["bits_per_byte"]),
            )
            for row in reader
            if row["cooled"] in ("1", "True", "true")
        ]


def fit(runs: Sequence[Measured]) -> Coefficients:
    """Least squares on log residuals and anchors, robust to a diverged run (soft L1 at 5 %)."""

    def residuals(logs: np.ndarray) -> np.ndarray:
        away = [
            (logs[_NAMES.index(name)] - math.log(value)) / spread
            for name, (value, spread) in ANCHORS.items()
        ]
        missed = log_residuals(runs, _coefficients(np.exp(logs)))
        return np.concatenate([missed, _ANCHOR_WEIGHT * np.array(away)])

    best = None
    for scale in (1.0, 0.5, 2.0):
        start = np.clip(np.array(_START) * scale, np.array(_LOW) * 1.01, np.array(_HIGH) * 0.99)
        found = least_squares(
            residuals,
            np.log(start),
            bounds=(np.log(_LOW), np.log(_HIGH)),
            loss="soft_l1",
            f_scale=0.05,
        )
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return _coefficients(np.exp(best.x))


def log_residuals(runs: Iterable[Measured], coefficients: Coefficients) -> np.ndarray:
    """ln(predicted / measured) of each run."""
    return np.array(
        [math.log(bits_per_byte(one.run, coefficients) / one.bits_per_byte) for one in runs]
    )


def leave_out(runs: Sequence[Measured], group: Callable[[Measured], object]) -> np.ndarray:
    """ln(predicted / measured) of every run by a fit without its whole group."""
    residuals = []
    for left_out in sorted({group(one) for one in runs}, key=str):
        kept = [one for one in runs if group(one) != left_out]
        rest = [one for one in runs if group(one) == left_out]
        residuals.append(log_residuals(rest, fit(kept)))
    return np.concatenate(residuals)


def error_per_doubling(runs: Sequence[Measured]) -> float:
    """How much the error grows when the longest runs are predicted from those half as long."""
    longest = max(one.run.train_bytes for one in runs)
    short = [one for one in runs if one.run.train_bytes <= longest / 2]
    long = [one for one in runs if one.run.train_bytes > longest / 2]
    coefficients = fit(short)
    beyond, within = (
        float(np.quantile(np.abs(log_residuals(part, coefficients)), 0.9)) for part in (long, short)
    )
    reach = math.log2(longest / max(one.run.train_bytes for one in short))
    return max(0.0, beyond - within) / reach


def make_prior(runs: Sequence[Measured]) -> Prior:
    """Coefficients and their errors. Raises ConfigError where the runs cannot tell them."""
    corpora = sorted({one.corpus for one in runs})
    sizes = [one.run.num_non_embedding_params for one in runs]
    text = [one.run.train_bytes for one in runs]
    reach = max(text) / min(text)
    if len(corpora) < 2 or len(set(sizes)) < 4 or reach < 2.1:
        raise ConfigError(
            "runs on at least two corpora, of four sizes and over a doubling of the text are "
            f"needed; got {len(corpora)}, {len(set(sizes))} and a factor of {reach:.1f}"
        )
    by_corpus = leave_out(runs, lambda one: one.corpus)
    by_size = leave_out(runs, lambda one: one.run.num_non_embedding_params)
    errors = [float(np.quantile(np.abs(part), 0.9)) for part in (by_corpus, by_size)]
    return Prior(
        coefficients=fit(runs),
        log_error=max(errors),
        log_error_per_doubling=error_per_doubling(runs),
        size_range=(min(sizes), max(sizes)),
        text_range=(min(text), max(text)),
        num_runs=len(runs),
        corpora=tuple(corpora),
    )


def _coefficients(values: np.ndarray) -> Coefficients:
    return Coefficients(**dict(zip(_NAMES, map(float, values), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="table made by measure.py")
    parser.add_argument("--output", type=Path, required=True, help="src/archsmith/prior.json")
    arguments = parser.parse_args()
    runs = read_runs(arguments.runs)
    prior = make_prior(runs)
    arguments.output.write_text(prior.model_dump_json(indent=2) + "\n", encoding="utf-8")
    inside = np.abs(log_residuals(runs, prior.coefficients))
    print(f"runs: {len(runs)}")
    print(f"log error inside the fit, median: {np.median(inside):.4f}")
    print(f"log error left out, 90 %: {prior.log_error:.4f}")
    print(f"log error per doubling beyond: {prior.log_error_per_doubling:.4f}")
    for name, value in prior.coefficients.model_dump().items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()

"""What a network will reach before it is trained: bits per byte from size, text and difficulty.

    bits = (d / 2)^g * ( E + A N^-a + B D^-b
                         + c (ln(width / depth) - ln r)^2
                         + v (ln(V width) - ln k - 0.83 ln N)^2 )

N: millions of non-embedding parameters, D: millions of bytes of text trained on, V: vocabulary, d:
bits per byte of an n-gram model on a sample of the corpus. The law of size and data is that of
Hoffmann et al. 2022 (arXiv 2203.15556), the term of shape follows McLeish et al. 2025 (Gemstones,
arXiv 2502.06857), the term of vocabulary Tao et al. 2024 (arXiv 2407.13623: vocabulary parameters
grow as N^0.83), and text read again counts less as in Muennighoff et al. 2023 (arXiv 2305.16264).
The coefficients stand in `prior.json`, fitted to measured runs by experiments/2026-11-22-prior.

All of those runs were dense. A network with experts is as good as a dense one of some size between
its active and its total parameters (the effective parameter count of Clark et al. 2022, arXiv
2202.01169). Which size is not fitted here: their geometric mean is assumed, and the interval
reaches from a dense network of all the parameters to one of the active ones alone.
"""

import math
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec, validate
from archsmith.errors import ConfigError

REFERENCE_BITS_PER_BYTE = 2.0
_MILLION = 1e6
_VOCABULARY_EXPONENT = 0.83
_REPEATS = 15.4  # readings of one text until another is worth 1/e of the first (arXiv 2305.16264)


class Prediction(NamedTuple):
    """Bits per byte, and the ends of an interval that held 90 % of the runs left out of the fit.

    With experts the interval is wider, and no run has tested it.
    """

    mean: float
    low: float
    high: float


class Coefficients(Spec):
    """The letters of the formula, all for N and D in millions."""

    irreducible: NonNegativeFloat
    size_factor: PositiveFloat
    size_exponent: PositiveFloat
    text_factor: PositiveFloat
    text_exponent: PositiveFloat
    aspect_factor: NonNegativeFloat
    aspect: PositiveFloat
    vocabulary_factor: NonNegativeFloat
    vocabulary_constant: PositiveFloat
    difficulty_exponent: float


class Prior(Spec):
    """Coefficients with what is known of their error.

    Attributes:
        log_error: |ln(predicted / measured)| that 90 % of the left-out runs stay below, the larger
            of leaving out corpora and leaving out sizes.
        log_error_per_doubling: what the error grows by where the text or the size lies twice
            beyond the runs, from predicting the longest runs by the shorter ones.
        size_range, text_range: parameters and bytes the runs cover.
        num_runs, corpora: what was fitted.
    """

    coefficients: Coefficients
    log_error: PositiveFloat
    log_error_per_doubling: NonNegativeFloat
    size_range: tuple[PositiveFloat, PositiveFloat]
    text_range: tuple[PositiveFloat, PositiveFloat]
    num_runs: PositiveInt
    corpora: tuple[str, ...]


class Run(NamedTuple):
    """What the formula reads of a network and its training."""

    hidden_size: int
    num_hidden_layers: int
    num_non_embedding_params: int
    vocab_size: int
    train_bytes: float
    corpus_bits_per_byte: float


def predict(
    architecture: Architecture,
    *,
    train_bytes: float,
    corpus_bits_per_byte: float,
    corpus_train_bytes: float | None = None,
    prior: Prior | None = None,
) -> Prediction:
    """Held-out bits per byte after a cooled-down training, before quantization.

    Args:
        train_bytes: bytes of text read in training, repetitions included.
        corpus_bits_per_byte: of an n-gram model of order 6, fitted to 2 MB, on held-out text.
        corpus_train_bytes: different text there is; None if nothing is read twice.
        prior: instead of the shipped one.

    Raises:
        ConfigError: train_bytes or corpus_bits_per_byte is not positive.
    """
    if not (train_bytes > 0 and corpus_bits_per_byte > 0):
        raise ConfigError(
            "train_bytes and corpus_bits_per_byte must be positive, "
            f"got {train_bytes} and {corpus_bits_per_byte}"
        )
    law = prior or shipped()
    total = architecture.num_non_embedding_params
    active = total - (architecture.num_params - architecture.num_active_params)
    text = unique_equivalent(train_bytes, corpus_train_bytes)

    def at(num_params: int, sign: int = 0) -> float:
        run = Run(
            hidden_size=architecture.hidden_size,
            num_hidden_layers=architecture.num_hidden_layers,
            num_non_embedding_params=num_params,
            vocab_size=architecture.vocab_size,
            train_bytes=text,
            corpus_bits_per_byte=corpus_bits_per_byte,
        )
        doublings = _doublings_outside(num_params, law.size_range)
        doublings += _doublings_outside(text, law.text_range)
        error = law.log_error + law.log_error_per_doubling * doublings
        return bits_per_byte(run, law.coefficients) * math.exp(sign * error)

    mean = at(total if active == total else round(math.sqrt(active * total)))
    ends = [at(num_params, sign) for num_params in {active, total} for sign in (-1, 1)]
    return Prediction(mean, min(mean, *ends), max(mean, *ends))


def bits_per_byte(run: Run, coefficients: Coefficients) -> float:
    """The formula."""
    size = run.num_non_embedding_params / _MILLION
    aspect = math.log(run.hidden_size / run.num_hidden_layers / coefficients.aspect)
    vocabulary = run.vocab_size * run.hidden_size / _MILLION
    excess = math.log(vocabulary / (coefficients.vocabulary_constant * size**_VOCABULARY_EXPONENT))
    bits = (
        coefficients.irreducible
        + coefficients.size_factor * size**-coefficients.size_exponent
        + coefficients.text_factor * (run.train_bytes / _MILLION) ** -coefficients.text_exponent
        + coefficients.aspect_factor * aspect**2
        + coefficients.vocabulary_factor * excess**2
    )
    difficulty = run.corpus_bits_per_byte / REFERENCE_BITS_PER_BYTE
    return bits * difficulty**coefficients.difficulty_exponent


def unique_equivalent(train_bytes: float, corpus_train_bytes: float | None) -> float:
    """Bytes of new text that are worth as much as `train_bytes` read from a smaller corpus."""
    if corpus_train_bytes is None or train_bytes <= corpus_train_bytes:
        return train_bytes
    repeats = train_bytes / corpus_train_bytes - 1
    return corpus_train_bytes * (1 + _REPEATS * (1 - math.exp(-repeats / _REPEATS)))


@cache
def shipped() -> Prior:
    """The prior that comes with archsmith."""
    text = (files("archsmith") / "prior.json").read_text(encoding="utf-8")
    return validate(Prior, Prior.model_validate_json(text), source="prior.json")


def _doublings_outside(value: float, known: tuple[float, float]) -> float:
    low, high = known
    return max(math.log2(value / high), math.log2(low / value), 0.0)

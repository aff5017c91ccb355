"""A conditional scaling law with a prior: bits per byte from size, text, shape and vocabulary.

    bits = (d / 2)^g * ( E + A N_eff^-a + B D_eff^-b
                         + c (ln(width / depth) - ln r)^2
                         + v (ln(V width) - ln k - 0.83 ln N_eff)^2 )
    ln N_eff = ln N + s ln(active share) - q ln(heads per key head) - f (ln(F / width) - ln h)^2

N: millions of non-embedding parameters; D_eff: millions of bytes, text read again counting less
(Muennighoff et al. 2023, arXiv 2305.16264); V: vocabulary; F: feed-forward width; d: bits per byte
of an n-gram model on the text. Size and data as Hoffmann et al. 2022 (arXiv 2203.15556), shape as
McLeish et al. 2025 (arXiv 2502.06857), vocabulary as Tao et al. 2024 (arXiv 2407.13623).

The shipped prior's coefficients are the means of a Gaussian prior over the letters (most of them by
logarithm); the fit is its maximum a posteriori by scipy's least squares, the covariance that of the
linearized posterior. A term whose features a space lacks is left out. Readings of an earlier study
are the formula's times a factor and plus a constant of that study, two more letters with wide
priors about none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares, lsq_linear
from scipy.stats import t as student

from archsmith.errors import ConfigError
from archsmith.prior import REFERENCE_BITS_PER_BYTE, Coefficients, shipped, unique_equivalent
from archsmith.surrogate.readings import (
    LAW_FEATURES,
    Reading,
    group_numbers,
    has_law,
    law_columns,
    source_table,
    sources,
)

_VOCABULARY_EXPONENT = 0.83
_MILLION = 1e6
_NOISE = 0.003  # bits per byte between two seeds, before there are data; worth _NOISE_WEIGHT runs
_NOISE_WEIGHT = 1.0
_ROUNDS = 4  # fits with the noise estimated in between
_EXPONENTS = (0.12, 0.25, 0.5)  # where fits begin, beside the prior
_STEP = 1e-5
_FAR = 6.0  # spreads from the prior that no letter goes beyond
_LARGEST = 50.0  # of exponents: what a fit passes through on its way must be a number

# letter -> standard deviation of its prior; letters of amounts and exponents by logarithm.
_SPREADS = {
    "irreducible": 0.5,
    "log_size_factor": 1.0,
    "log_size_exponent": 0.4,
    "log_text_factor": 1.0,
    "log_text_exponent": 0.4,
    # what shape costs came out eight times as large from one set of small runs as from another
    "log_aspect_factor": 2.0,
    "log_aspect": 2.5,
    "log_vocabulary_factor": 1.0,
    "log_vocabulary_constant": 1.0,
    "difficulty_exponent": 0.2,
    "active_exponent": 0.2,
    "group_exponent": 0.03,
    "log_ratio_factor": 1.0,
    "log_ratio": 0.5,
}
# What the prior's runs did not vary: a mixture's worth lies between its active and all parameters;
# sharing keys costs little; feed-forward ratios between 2 and 5 differ little.
_UNMEASURED = {
    "active_exponent": 0.5,
    "group_exponent": 0.03,
    "log_ratio_factor": math.log(0.03),
    "log_ratio": math.log(3.0),
}
# letters -> the features without which they are left out
_NEEDS = {
    "log_vocabulary_factor": ("log_vocab_size", "log_hidden_size"),
    "log_vocabulary_constant": ("log_vocab_size", "log_hidden_size"),
    "active_exponent": ("log_active_share",),
    "group_exponent": ("log_heads_per_kv_head",),
    "log_ratio_factor": ("log_intermediate_ratio",),
    "log_ratio": ("log_intermediate_ratio",),
}
_OF_TEXT = ("log_text_factor", "log_text_exponent")
# What another corpus, recipe or way to score does to all values alike: bits per byte on top, and a
# factor by its logarithm. The earlier study's name follows.
_OF_SOURCE = {"shift of ": 1.0, "factor of ": 0.3}
_SHIFT, _FACTOR = _OF_SOURCE


class Table(NamedTuple):
    """What the formula reads, one entry per reading; features that are missing are 0.

    `text` is D_eff in millions of bytes, `difficulty` is d / 2, `from_source` is 1 where a reading
    is from the earlier study of that name.
    """

    features: Mapping[str, np.ndarray]
    text: np.ndarray | None
    difficulty: np.ndarray
    from_source: Mapping[str, np.ndarray]


class LawFit(NamedTuple):
    """A law fitted to readings.

    Attributes:
        letters: names of the coefficients in use; the last are of earlier studies.
        values, covariance: of the posterior, linearized; [k], [k, k].
        prior_values, prior_spreads: of the prior; [k].
        noise: standard deviation of one reading about the law, in the values' unit.
        freedom: readings less the letters they had to settle.
        unit: the values' size against bits per byte: 1 for bits per byte.
        knows_text: whether readings told how much text they had read.
    """

    letters: tuple[str, ...]
    values: np.ndarray
    covariance: np.ndarray
    prior_values: np.ndarray
    prior_spreads: np.ndarray
    noise: float
    freedom: float
    unit: float
    knows_text: bool

    def coefficient(self, letter: str) -> float:
        """A coefficient in plain form, as in `coefficient("aspect")`."""
        if letter in self.letters:
            return float(self.values[self.letters.index(letter)])
        return math.exp(self.values[self.letters.index(f"log_{letter}")])


class LawPrediction(NamedTuple):
    """Of each reading, [n]: mean, standard deviation of a new measurement, ends of the interval."""

    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray


def fit_law(
    readings: Sequence[Reading],
    *,
    coefficients: Coefficients | None = None,
    unit: float = 1.0,
) -> LawFit:
    """The law's letters after the readings; with none, the prior itself.

    Args:
        coefficients: the prior's means; the shipped ones if not told.
        unit: what one bit per byte is in the values' unit. For nats or the logarithm of a
            perplexity per token: about 3.

    Raises:
        ConfigError: readings without the law's features, or with values that are not finite.
    """
    names = tuple(readings[0].features) if readings else LAW_FEATURES
    if not has_law(names):
        raise ConfigError(f"a scaling law needs the features {', '.join(LAW_FEATURES)}")
    target = np.array([reading.value for reading in readings], dtype=np.float64) / unit
    if not np.isfinite(target).all():
        raise ConfigError("a scaling law needs finite values")
    knows_text = bool(readings) and all(r.train_bytes is not None for r in readings)
    letters = tuple(
        letter
        for letter in _SPREADS
        if (knows_text or letter not in _OF_TEXT)
        and all(name in names for name in _NEEDS.get(letter, ()))
    )
    means = prior_values(letters, coefficients)
    spreads = np.array([_SPREADS[letter] for letter in letters])
    if earlier := sources(readings):
        more = {kind + name: spread for name in earlier for kind, spread in _OF_SOURCE.items()}
        letters += tuple(more)
        means = np.concatenate([means, np.zeros(len(more))])
        spreads = np.concatenate([spreads, list(more.values())])
    data = table(readings, knows_text=knows_text)
    groups = group_numbers(readings)
    # readings of one trunk are one another's echoes: together they weigh as one
    weights = 1 / np.sqrt(np.bincount(groups)[groups]) if len(groups) else np.ones(0)
    values, covariance, noise, freedom = _posterior(
        data, target, weights, letters=letters, means=means, spreads=spreads
    )
    return LawFit(
        letters, values, covariance, means, spreads, noise * unit, freedom, unit, knows_text
    )


def predict_law(
    fit: LawFit, readings: Sequence[Reading], *, coverage: float = 0.9, scale: float = 1.0
) -> LawPrediction:
    """What the law says of networks (values of the readings are not read).

    Args:
        coverage: of the interval, Student's t with the fit's degrees of freedom.
        scale: the deviations are multiplied by it, see `archsmith.surrogate.intervals`.
    """
    data = table(readings, knows_text=fit.knows_text)
    mean = evaluate(data, fit.values, fit.letters) * fit.unit
    slopes = jacobian(data, fit.values, fit.letters) * fit.unit
    variance = np.einsum("ij,jk,ik->i", slopes, fit.covariance, slopes) + fit.noise**2
    deviation = scale * np.sqrt(variance)
    reach = student.ppf(0.5 + coverage / 2, max(fit.freedom, 2.0)) * deviation
    return LawPrediction(mean, deviation, mean - reach, mean + reach)


def table(readings: Sequence[Reading], *, knows_text: bool) -> Table:
    """The readings as the formula reads them."""
    text = None
    if knows_text:
        if any(reading.train_bytes is None for reading in readings):
            raise ConfigError("the law was fitted with bytes of text read; say how many")
        amounts = [unique_equivalent(r.train_bytes or 0.0, r.unique_bytes) for r in readings]
        text = np.array(amounts, float) / _MILLION
    difficulty = np.array([r.corpus_bits_per_byte for r in readings], float)
    earlier = sources(readings)
    shares = source_table(readings, earlier)
    from_source = {name: shares[:, place] for place, name in enumerate(earlier)}
    return Table(law_columns(readings), text, difficulty / REFERENCE_BITS_PER_BYTE, from_source)


def evaluate(data: Table, values: np.ndarray, letters: Sequence[str]) -> np.ndarray:
    """The formula, [n]."""
    of = dict(zip(letters, values, strict=True))
    features = data.features
    size = features["log_num_non_embedding_params"] - math.log(_MILLION)
    if "active_exponent" in of:
        size = size + of["active_exponent"] * features["log_active_share"]
    if "group_exponent" in of:
        size = size - of["group_exponent"] * features["log_heads_per_kv_head"]
    if "log_ratio" in of:
        away = features["log_intermediate_ratio"] - of["log_ratio"]
        size = size - math.exp(of["log_ratio_factor"]) * away**2
    power = of["log_size_factor"] - math.exp(of["log_size_exponent"]) * size
    bits = of["irreducible"] + np.exp(np.minimum(power, _LARGEST))
    if data.text is not None:
        exponent = math.exp(of["log_text_exponent"])
        bits = bits + math.exp(of["log_text_factor"]) * data.text**-exponent
    aspect = features["log_width_depth_ratio"] - of["log_aspect"]
    bits = bits + math.exp(of["log_aspect_factor"]) * aspect**2
    if "log_vocabulary_factor" in of:
        table_size = features["log_vocab_size"] + features["log_hidden_size"] - math.log(_MILLION)
        excess = table_size - of["log_vocabulary_constant"] - _VOCABULARY_EXPONENT * size
        bits = bits + math.exp(of["log_vocabulary_factor"]) * excess**2
    bits = bits * data.difficulty ** of["difficulty_exponent"]
    for name, share in data.from_source.items():
        if _SHIFT + name in of:
            bits = bits * np.exp(of[_FACTOR + name] * share) + of[_SHIFT + name] * share
    return np.asarray(bits)


def jacobian(data: Table, values: np.ndarray, letters: Sequence[str]) -> np.ndarray:
    """Slopes of the formula by central differences, [n, letters]."""
    columns = []
    for index in range(len(values)):
        step = np.zeros(len(values))
        step[index] = _STEP
        columns.append(
            evaluate(data, values + step, letters) - evaluate(data, values - step, letters)
        )
    return np.stack(columns, axis=1) / (2 * _STEP)


def prior_values(letters: Sequence[str], coefficients: Coefficients | None = None) -> np.ndarray:
    """The prior's means of the letters."""
    known = dict(_UNMEASURED)
    for name, value in (coefficients or shipped().coefficients).model_dump().items():
        known[name] = value
        if value > 0:
            known[f"log_{name}"] = math.log(value)
        else:  # a factor the runs set to nothing
            known[f"log_{name}"] = math.log(1e-4)
    return np.array([known[letter] for letter in letters])


class _Posterior(NamedTuple):
    values: np.ndarray
    covariance: np.ndarray
    noise: float
    freedom: float


def _posterior(
    data: Table,
    target: np.ndarray,
    weights: np.ndarray,
    *,
    letters: Sequence[str],
    means: np.ndarray,
    spreads: np.ndarray,
) -> _Posterior:
    if not len(target):
        return _Posterior(means, np.diag(spreads**2), _NOISE, 3.0)
    low, high = means - _FAR * spreads, means + _FAR * spreads
    low[list(letters).index("irreducible")] = 0.0

    def solve(start: np.ndarray, noise: float) -> tuple[float, np.ndarray]:
        def residuals(values: np.ndarray) -> np.ndarray:
            misfit = (evaluate(data, values, letters) - target) * weights / noise
            return np.concatenate([misfit, (values - means) / spreads])

        def slopes(values: np.ndarray) -> np.ndarray:
            own = jacobian(data, values, letters) * (weights / noise)[:, None]
            return np.concatenate([own, np.diag(1 / spreads)])

        inside = np.clip(start, low + 1e-9, high - 1e-9)
        found = least_squares(residuals, inside, slopes, bounds=(low, high), max_nfev=60)
        return float(found.cost), found.x

    count = float((weights**2).sum())
    noise = _NOISE
    starts = [means, *(_start(data, target, means, letters, a) for a in _EXPONENTS)]
    values = min((solve(start, noise) for start in starts), key=lambda found: found[0])[1]
    settled = 0.0
    for _ in range(_ROUNDS):
        slopes = jacobian(data, values, letters) * weights[:, None]
        precision = slopes.T @ slopes / noise**2
        covariance = np.linalg.inv(precision + np.diag(1 / spreads**2))
        settled = float(np.trace(covariance @ precision))
        squares = float((((evaluate(data, values, letters) - target) * weights) ** 2).sum())
        noise = math.sqrt(
            (_NOISE_WEIGHT * _NOISE**2 + squares) / (_NOISE_WEIGHT + max(count - settled, 0.0))
        )
        values = solve(values, noise)[1]
    slopes = jacobian(data, values, letters) * weights[:, None]
    covariance = np.linalg.inv(slopes.T @ slopes / noise**2 + np.diag(1 / spreads**2))
    return _Posterior(values, covariance, noise, _NOISE_WEIGHT + max(count - settled, 0.0))


def _start(
    data: Table, target: np.ndarray, means: np.ndarray, letters: Sequence[str], exponent: float
) -> np.ndarray:
    """Factors, and the optimum of the shape, by bounded least squares where exponents are set."""
    start = means.copy()
    at = {letter: index for index, letter in enumerate(letters)}
    size = data.features["log_num_non_embedding_params"] - math.log(_MILLION)
    aspect = data.features["log_width_depth_ratio"]
    parts = [np.ones(len(target)), aspect, aspect**2, np.exp(-exponent * size)]
    start[at["log_size_exponent"]] = math.log(exponent)
    if data.text is not None:
        parts.append(data.text**-exponent)
        start[at["log_text_exponent"]] = math.log(exponent)
    low = [-np.inf, -np.inf, *(0.0 for _ in parts[2:])]
    shifts = data.from_source
    parts += shifts.values()
    low += [-np.inf for _ in shifts]
    constant, slope, bend, *factors = lsq_linear(
        np.stack(parts, axis=1), target, bounds=(low, np.inf)
    ).x
    if bend > 1e-4:
        optimum = -slope / (2 * bend)
        nearest = float(np.clip(optimum, aspect.min() - 1, aspect.max() + 1))
        start[at["log_aspect"]] = nearest
        start[at["log_aspect_factor"]] = math.log(bend)
        constant -= bend * optimum**2
    start[at["irreducible"]] = max(constant, 0.0)
    start[at["log_size_factor"]] = math.log(max(factors[0], 1e-3))
    if data.text is not None:
        start[at["log_text_factor"]] = math.log(max(factors[1], 1e-3))
    for name, shift in zip(shifts, factors[len(factors) - len(shifts) :], strict=True):
        start[at[_SHIFT + name]] = shift
    return start

"""Two arms of a study on the same held-out text: difference, interval, p, what could be seen.

Two things make a difference vary. The choice of text: the paired block bootstrap (`data.intervals`)
tells how much. The trainings' seeds: with several per arm their spread is measured; with one per
arm, twice the variance of one training joins, as it was estimated elsewhere (`training_noise`).
That part is an estimate of few degrees of freedom, so the interval is Student's with Welch's and
Satterthwaite's degrees of freedom: a single training says `beat` only where its difference lies
beyond what so uncertain a noise allows. Secondary comparisons are corrected together (Holm 1979).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist, fmean, variance

from archsmith.report.detectable import detectable_by_t
from archsmith.report.paired import holm, holm_levels
from archsmith.report.sign_flips import LEVEL
from archsmith.report.study_report import ArmRow
from archsmith.report.training_noise import USUAL, TrainingNoise

CONFIDENCE = 1 - LEVEL
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Outcome(StrEnum):
    """What the interval of the difference allows to say about the winner."""

    BEAT = "beat"
    TIED = "tied"
    LOST = "lost"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Winner minus baseline in bits per byte of the same held-out text; negative is better.

    Attributes:
        low, high: ends of the 95 % interval: over the choice of text, and over training seeds.
        standard_error: of the difference, both parts together.
        degrees_of_freedom: of that error; None where all of it counts as known.
        p_value: two-sided; `adjusted_p_value` is Holm's, equal to it for the primary comparison.
        num_blocks, num_bytes: held-out text both were scored on.
        num_seeds: training seeds per arm that entered.
        training_noise: one training's standard deviation that stands in for further seeds; None
            with several seeds, whose own spread entered.
        noise_degrees_of_freedom: of that estimate; None with several seeds.
        detectable: the smallest true gain that would be called `beat` in four cases out of five,
            with this much text and this many trainings, by the margin and the p that is asked.
        cpu_ratio, flops_ratio: what the winner cost, final training and all, as a multiple of the
            baseline; not a number where it is not known.
        reason: why the outcome is undecided although the scores alone say more; else empty.
    """

    winner: str
    baseline: str
    difference: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float | None
    p_value: float
    adjusted_p_value: float
    num_blocks: int
    num_bytes: int
    num_seeds: int
    training_noise: float | None
    noise_degrees_of_freedom: int | None
    detectable: float
    outcome: Outcome
    cpu_ratio: float = math.nan
    flops_ratio: float = math.nan
    reason: str = ""


def decide(difference: float, low: float, high: float, *, margin: float) -> Outcome:
    """The outcome an interval allows.

    `beat` needs an interval that excludes zero *and* a measured gain above the margin; `tied`
    needs the whole interval inside the margin on both sides.
    """
    if high < 0 and difference < -margin:
        return Outcome.BEAT
    if low > 0 and difference > margin:
        return Outcome.LOST
    if -margin <= low and high <= margin:
        return Outcome.TIED
    return Outcome.UNDECIDED


def if_shown(outcome: Outcome, p_value: float) -> Outcome:
    """The outcome of one comparison of many: what its corrected p does not show is undecided."""
    claims = outcome in (Outcome.BEAT, Outcome.LOST)
    return Outcome.UNDECIDED if claims and p_value > LEVEL else outcome


def compare(
    winners: Sequence[ArmRow],
    baselines: Sequence[ArmRow],
    *,
    margin: float,
    noise: TrainingNoise = USUAL,
) -> Comparison:
    """Two arms on the same blocks of text; rows are training seeds, paired in order.

    Args:
        noise: of one training; counts where each arm has one.
    """
    from scipy.stats import t

    from archsmith.data.intervals import paired_interval

    pairs = list(zip(winners, baselines, strict=False))
    difference, low, high = paired_interval(
        _mean_arm([winner for winner, _ in pairs]),
        _mean_arm([baseline for _, baseline in pairs]),
        confidence=CONFIDENCE,
    )
    single = len(pairs) == 1
    seed_error, seed_degrees = _once(noise) if single else _over_seeds(pairs)
    error = math.hypot((high - low) / (2 * _Z), seed_error)
    degrees = _degrees(error, seed_error, seed_degrees)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, degrees)) * error
    low, high = difference - half, difference + half
    p_value = _two_sided(difference, error, degrees)
    return Comparison(
        winner=winners[0].name,
        baseline=baselines[0].name,
        difference=difference,
        low=low,
        high=high,
        standard_error=error,
        degrees_of_freedom=degrees if math.isfinite(degrees) else None,
        p_value=p_value,
        adjusted_p_value=p_value,
        num_blocks=len(pairs[0][0].block_bytes),
        num_bytes=sum(pairs[0][0].block_bytes),
        num_seeds=len(pairs),
        training_noise=noise.deviation if single else None,
        noise_degrees_of_freedom=noise.degrees_of_freedom if single else None,
        detectable=detectable_by_t(error, degrees_of_freedom=degrees, level=LEVEL, margin=margin),
        outcome=decide(difference, low, high, margin=margin),
    )


def corrected(comparisons: Sequence[Comparison], *, margin: float) -> list[Comparison]:
    """The same comparisons with Holm's adjusted p-values; what they no longer show is undecided."""
    p_values = [one.p_value for one in comparisons]
    return [
        replace(
            one,
            adjusted_p_value=p_value,
            outcome=if_shown(decide(one.difference, one.low, one.high, margin=margin), p_value),
            detectable=detectable_by_t(
                one.standard_error,
                degrees_of_freedom=one.degrees_of_freedom or math.inf,
                level=level,
                margin=margin,
            ),
        )
        for one, p_value, level in zip(
            comparisons, holm(p_values), holm_levels(p_values), strict=True
        )
    ]


def _degrees(error: float, seed_error: float, seed_degrees: float) -> float:
    """Welch-Satterthwaite, where only the part from seeds is estimated; infinite if it is small."""
    if seed_error <= 1e-3 * error:  # rounding of equal seeds among them
        return math.inf
    return seed_degrees * (error / seed_error) ** 4


def _once(noise: TrainingNoise) -> tuple[float, float]:
    """Error of a difference of two single trainings, and its degrees of freedom."""
    return math.sqrt(2) * noise.deviation, noise.degrees_of_freedom


def _over_seeds(pairs: Sequence[tuple[ArmRow, ArmRow]]) -> tuple[float, float]:
    """The same from the spread of the differences over seeds."""
    per_seed = [_bits_per_byte(a) - _bits_per_byte(b) for a, b in pairs]
    return math.sqrt(variance(per_seed) / len(pairs)), len(pairs) - 1


def _two_sided(difference: float, error: float, degrees: float) -> float:
    from scipy.stats import t

    if error == 0:
        return 0.0 if difference else 1.0
    return 2 * float(t.sf(abs(difference) / error, degrees))


def _mean_arm(rows: Sequence[ArmRow]) -> ArmRow:
    """An arm with each block's nats averaged over training seeds."""
    nats = zip(*(row.block_nats for row in rows), strict=True)
    return replace(rows[0], block_nats=tuple(fmean(block) for block in nats))


def _bits_per_byte(row: ArmRow) -> float:
    return sum(row.block_nats) / math.log(2) / sum(row.block_bytes)

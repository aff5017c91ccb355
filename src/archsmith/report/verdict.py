"""What may be claimed: winner against baselines, with intervals, and never inside the noise.

One primary comparison and its margin are fixed beforehand; all others are secondary and corrected
together (Holm 1979). With one training seed per arm the interval is the paired block bootstrap over
held-out text alone, and the sentence says so; with several, the spread over seeds joins it
(Welch-Satterthwaite degrees of freedom). Non-inferiority by a margin: CONSORT, Piaggio et al. 2012.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist, fmean, variance

from archsmith.report.figures import plural, show_difference, show_limit, show_span
from archsmith.report.study_report import ArmRow, StudyReport
from archsmith.units import format_bytes

CONFIDENCE = 0.95
POWER = 0.8
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
# 97.5 % quantiles of Student's t by degrees of freedom, interpolated in 1/df between
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 8: 2.306, 10: 2.228,
      15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000}  # fmt: skip


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
        low, high: ends of the 95 % interval.
        p_value: two-sided; `adjusted_p_value` is Holm's, equal to it for the primary comparison.
        num_blocks, num_bytes: held-out text both were scored on.
        num_seeds: training seeds per arm that entered.
        detectable: smallest true difference that this much text and seeds would show in four
            cases out of five.
    """

    winner: str
    baseline: str
    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float
    num_blocks: int
    num_bytes: int
    num_seeds: int
    detectable: float
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The claim of a study. `primary` is None where there is nothing to compare yet.

    `recommended` names the arm whose model to take: the winner where it beat the primary baseline,
    else that baseline; None where neither can be recommended.
    """

    outcome: Outcome
    primary: Comparison | None
    secondary: tuple[Comparison, ...]
    margin: float
    sentence: str
    caveat: str
    recommended: str | None = None


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


def judge(report: StudyReport) -> Verdict:
    """The verdict of a study from the blocks of its arms."""
    winners = [arm for arm in report.arms if arm.kind == "search"]
    if not winners:
        return _nothing(report, "the search has no finished model yet")
    winner_name = winners[0].name
    winners = [arm for arm in winners if arm.name == winner_name]
    comparisons = []
    for name in dict.fromkeys(arm.name for arm in report.arms if arm.name != winner_name):
        rows = [arm for arm in report.arms if arm.name == name]
        if rows[0].kind != "floor" and _comparable(winners, rows):
            comparisons.append(compare(winners, rows, margin=report.margin))
    primary = next((c for c in comparisons if c.baseline == report.primary_baseline), None)
    secondary = holm([c for c in comparisons if c is not primary], margin=report.margin)
    if primary is None:
        wanted = report.primary_baseline
        reason = (
            f"the primary baseline '{wanted}' has no score on the same text yet"
            if wanted
            else "no baseline was trained"
        )
        return _nothing(report, reason, secondary)
    for arm in (*winners, *(arm for arm in report.arms if arm.name == primary.baseline)):
        missed = report.missed_limits(arm.metrics)
        if missed:
            names = ", ".join(show_limit(*limit) for limit in missed)
            return _nothing(report, f"the {arm.name} misses {names}", secondary)
    return Verdict(
        outcome=primary.outcome,
        primary=primary,
        secondary=tuple(secondary),
        margin=report.margin,
        sentence=sentence(primary, margin=report.margin),
        caveat=caveat(primary),
        recommended=recommended(primary),
    )


def compare(winners: Sequence[ArmRow], baselines: Sequence[ArmRow], *, margin: float) -> Comparison:
    """Two arms on the same blocks of text; rows are training seeds, paired in order."""
    from archsmith.data.intervals import paired_interval

    pairs = list(zip(winners, baselines, strict=False))
    num_seeds = len(pairs)
    difference, low, high = paired_interval(
        _mean_arm([winner for winner, _ in pairs]),
        _mean_arm([baseline for _, baseline in pairs]),
        confidence=CONFIDENCE,
    )
    error, critical = (high - low) / (2 * _Z), _Z
    if num_seeds > 1:
        per_seed = [_bits_per_byte(a) - _bits_per_byte(b) for a, b in pairs]
        seed_error = math.sqrt(variance(per_seed) / num_seeds)
        error = math.hypot(error, seed_error)
        if seed_error > 0:
            critical = t_quantile((num_seeds - 1) * (error / seed_error) ** 4)
        low, high = difference - critical * error, difference + critical * error
    # a t statistic is scaled to the normal that shares its 95 % point
    statistic = difference / error * _Z / critical if error > 0 else math.inf * (difference or 1)
    p_value = 2 * NormalDist().cdf(-abs(statistic)) if difference else 1.0
    return Comparison(
        winner=winners[0].name,
        baseline=baselines[0].name,
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        adjusted_p_value=p_value,
        num_blocks=len(pairs[0][0].block_bytes),
        num_bytes=sum(pairs[0][0].block_bytes),
        num_seeds=num_seeds,
        detectable=(critical + NormalDist().inv_cdf(POWER)) * error,
        outcome=decide(difference, low, high, margin=margin),
    )


def holm(comparisons: Sequence[Comparison], *, margin: float) -> list[Comparison]:
    """The same comparisons with Holm's adjusted p-values; what they no longer show is undecided."""
    adjusted: dict[int, float] = {}
    running = 0.0
    for rank, index in enumerate(
        sorted(range(len(comparisons)), key=lambda i: comparisons[i].p_value)
    ):
        p_value = comparisons[index].p_value
        running = max(running, min(1.0, (len(comparisons) - rank) * p_value))
        adjusted[index] = running
    return [_adjusted(c, adjusted[i], margin) for i, c in enumerate(comparisons)]


def _adjusted(comparison: Comparison, p_value: float, margin: float) -> Comparison:
    outcome = decide(comparison.difference, comparison.low, comparison.high, margin=margin)
    if outcome in (Outcome.BEAT, Outcome.LOST) and p_value >= 1 - CONFIDENCE:
        outcome = Outcome.UNDECIDED
    return replace(comparison, adjusted_p_value=p_value, outcome=outcome)


def recommended(comparison: Comparison) -> str:
    """Whose model to take: the baseline's unless the winner beat it."""
    beat = comparison.outcome is Outcome.BEAT
    return comparison.winner if beat else comparison.baseline


def sentence(comparison: Comparison, *, margin: float) -> str:
    """The headline: the outcome with its evidence and whose model to take, in plain words."""
    return f"{_claim(comparison, margin)} Recommended: the {recommended(comparison)}."


def _claim(comparison: Comparison, margin: float) -> str:
    winner, baseline = comparison.winner, comparison.baseline
    size = f"{abs(comparison.difference):.4f} bits per byte"
    interval = (
        f"95 % interval {show_span(comparison.low, comparison.high, signed=True)}, "
        f"p {show_p(comparison.p_value)}, minimal detectable {comparison.detectable:.4f}"
    )
    match comparison.outcome:
        case Outcome.BEAT:
            return f"Beat: the {winner} needs {size} less than the {baseline} ({interval})."
        case Outcome.LOST:
            return f"Lost: the {winner} needs {size} more than the {baseline} ({interval})."
        case Outcome.TIED:
            return (
                f"Tied: the {winner} and the {baseline} differ by less than the margin of "
                f"{margin:g} bits per byte ({show_difference(comparison.difference)}, {interval})."
            )
    return (
        f"Undecided: the {winner} measured {show_difference(comparison.difference)} bits per byte "
        f"against the {baseline} ({interval}), too little to tell it from the margin of {margin:g}."
    )


def caveat(comparison: Comparison) -> str:
    """What the interval covers and what it could have seen."""
    text = (
        f"{plural(comparison.num_blocks, 'block')} of held-out text, "
        f"{format_bytes(comparison.num_bytes)}"
    )
    detectable = (
        "The smallest true difference it would show in four cases of five is "
        f"{comparison.detectable:.4f} bits per byte."
    )
    if comparison.num_seeds == 1:
        return (
            f"The interval covers the choice of held-out text ({text}), not training seeds: each "
            f"arm was trained once, and other seeds may differ by more. {detectable}"
        )
    return (
        f"The interval covers the choice of held-out text ({text}) and "
        f"{comparison.num_seeds} training seeds per arm. {detectable}"
    )


def show_p(value: float) -> str:
    """A p-value with its relation; never zero."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def bits_per_byte_interval(arm: ArmRow) -> tuple[float, float] | None:
    """95 % interval of an arm's own score over the choice of held-out text; None without blocks."""
    if len(arm.block_nats) < 2:
        return None
    from archsmith.data.intervals import score_interval

    found = score_interval(arm, confidence=CONFIDENCE)
    return found.low, found.high


def t_quantile(freedom: float) -> float:
    """97.5 % quantile of Student's t; between tabled degrees of freedom linear in their inverse."""
    if freedom <= 1:
        return _T[1]
    below = max(known for known in _T if known <= freedom)
    above = min((known for known in _T if known > freedom), default=None)
    if above is None:
        return _Z + (_T[below] - _Z) * below / freedom
    share = (1 / below - 1 / freedom) / (1 / below - 1 / above)
    return _T[below] + share * (_T[above] - _T[below])


def _nothing(report: StudyReport, reason: str, secondary: Sequence[Comparison] = ()) -> Verdict:
    candidates = [arm for arm in report.arms if arm.name == report.primary_baseline]
    if candidates:  # without a baseline there is nothing to recommend against
        candidates += [arm for arm in report.arms if arm.kind == "search"]
    usable = [arm.name for arm in candidates if not report.missed_limits(arm.metrics)]
    chosen = usable[0] if usable else None
    advice = f" Recommended: the {chosen}." if chosen else ""
    return Verdict(
        outcome=Outcome.UNDECIDED,
        primary=None,
        secondary=tuple(secondary),
        margin=report.margin,
        sentence=f"No verdict: {reason}.{advice}",
        caveat="",
        recommended=chosen,
    )


def _comparable(winners: Sequence[ArmRow], rows: Sequence[ArmRow]) -> bool:
    """Scored on the same blocks of text, more than one of them."""
    first = winners[0]
    return len(first.block_nats) > 1 and all(
        row.block_bytes == first.block_bytes and len(row.block_nats) == len(first.block_nats)
        for row in (*winners, *rows)
    )


def _mean_arm(rows: Sequence[ArmRow]) -> ArmRow:
    """An arm with each block's nats averaged over training seeds."""
    nats = zip(*(row.block_nats for row in rows), strict=True)
    return replace(rows[0], block_nats=tuple(fmean(block) for block in nats))


def _bits_per_byte(row: ArmRow) -> float:
    return sum(row.block_nats) / math.log(2) / sum(row.block_bytes)

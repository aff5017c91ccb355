"""Runs of several search seeds as numbers: what an arm reached, and two arms paired by seed.

The primary comparison of a corpus is decided by the exact interval (`paired`), exploratory ones by
Student's paired t, two-sided, corrected together by Holm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import NamedTuple

from archsmith.report.comparison import Outcome, decide, if_shown
from archsmith.report.detectable import detectable_by_t
from archsmith.report.equal_cost import at_equal_cost
from archsmith.report.paired import Paired, holm, holm_levels, paired, t_interval


class ArmRun(NamedTuple):
    """What one arm reached with one search seed, and what all of it cost, final training included.

    Attributes:
        arm: its name, as in "law_guided" or "parameter maximizer".
        seed: of the search; runs of one seed and corpus are paired.
        bits_per_byte: of the deployed file on the sealed test split.
        cpu_seconds, flops: everything spent: failed trials, calibration, cooldowns, final training;
            0 where it is not known.
        corpus: what it was tried on; seeds are paired within a corpus only.
        curve: held-out bits per byte (of the search split, never the test) when so many CPU seconds
            had been spent; empty where it was not told.
    """

    arm: str
    seed: int
    bits_per_byte: float
    cpu_seconds: float
    flops: float
    corpus: str = ""
    curve: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm on one corpus: means over its seeds; the interval is Student's, 95 %, over seeds.

    Costs are not a number where they are not known of each seed.
    """

    corpus: str
    arm: str
    seeds: tuple[int, ...]
    bits_per_byte: float
    low: float
    high: float
    cpu_seconds: float
    flops: float


@dataclass(frozen=True, kw_only=True)
class SeedComparison:
    """Two arms on one corpus over the seeds both have.

    Attributes:
        primary: fixed beforehand; else exploratory.
        adjusted_p_value: of the primary comparison the exact one-sided p in the direction measured;
            of exploratory ones Holm's over the paired t, whose rule `statistics.detectable` then
            belongs to as well.
        unpaired_seeds: seeds that one of the two arms lacks, left out.
        cpu_ratio, flops_ratio: what the first arm cost, as a multiple of the second, same seeds;
            not a number where either is not known of each of them.
        reason: why the outcome is undecided although the scores alone say more; else empty.
    """

    corpus: str
    first: str
    second: str
    seeds: tuple[int, ...]
    statistics: Paired
    primary: bool
    adjusted_p_value: float
    outcome: Outcome
    unpaired_seeds: tuple[int, ...]
    cpu_ratio: float
    flops_ratio: float
    reason: str = ""


def summarize(corpus: str, name: str, runs: Sequence[ArmRun]) -> ArmSummary:
    own = sorted((run for run in runs if run.arm == name), key=lambda run: run.seed)
    scores = [run.bits_per_byte for run in own]
    low, high = t_interval(scores)
    return ArmSummary(
        corpus=corpus,
        arm=name,
        seeds=tuple(run.seed for run in own),
        bits_per_byte=fmean(scores),
        low=low,
        high=high,
        cpu_seconds=_mean_cost([run.cpu_seconds for run in own]),
        flops=_mean_cost([run.flops for run in own]),
    )


def _mean_cost(costs: Sequence[float]) -> float:
    """Not a number where one of them is not known."""
    return fmean(costs) if all(cost > 0 for cost in costs) else math.nan


def compare_over_seeds(
    corpus: str, first: str, second: str, runs: Sequence[ArmRun], *, margin: float, primary: bool
) -> SeedComparison | None:
    """None where no seed has both arms."""
    ours = {run.seed: run for run in runs if run.arm == first}
    theirs = {run.seed: run for run in runs if run.arm == second}
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    found = paired([ours[s].bits_per_byte - theirs[s].bits_per_byte for s in seeds], margin=margin)
    cpu_ratio = _ratio([(ours[s].cpu_seconds, theirs[s].cpu_seconds) for s in seeds])
    flops_ratio = _ratio([(ours[s].flops, theirs[s].flops) for s in seeds])
    by_scores = decide(found.mean, found.low, found.high, margin=margin)
    outcome, reason = at_equal_cost(by_scores, cpu_ratio, flops_ratio)
    return SeedComparison(
        corpus=corpus,
        first=first,
        second=second,
        seeds=tuple(seeds),
        statistics=found,
        primary=primary,
        adjusted_p_value=min(found.p_better, found.p_worse) if primary else found.p_t,
        outcome=outcome,
        unpaired_seeds=tuple(sorted(ours.keys() ^ theirs.keys())),
        cpu_ratio=cpu_ratio,
        flops_ratio=flops_ratio,
        reason=reason,
    )


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Mean over mean; not a number where a cost is not known."""
    ours, theirs = zip(*pairs, strict=True)
    return _mean_cost(ours) / _mean_cost(theirs)


def corrected_by_holm(comparisons: Sequence[SeedComparison], margin: float) -> list[SeedComparison]:
    """Exploratory ones with Holm's p; what that does not show is undecided or tied."""
    p_values = [one.statistics.p_t for one in comparisons]
    made = []
    adjusted = zip(comparisons, holm(p_values), holm_levels(p_values), strict=True)
    for one, p_value, level in adjusted:
        found = one.statistics
        by_scores = if_shown(decide(found.mean, found.t_low, found.t_high, margin=margin), p_value)
        outcome, reason = at_equal_cost(by_scores, one.cpu_ratio, one.flops_ratio)
        made.append(
            replace(
                one,
                adjusted_p_value=p_value,
                outcome=outcome,
                reason=reason,
                statistics=replace(found, detectable=_detectable(found, level, margin)),
            )
        )
    return made


def _detectable(found: Paired, level: float, margin: float) -> float:
    """By the paired t at the level that Holm's asks of it."""
    count = len(found.differences)
    if count < 2:
        return math.inf
    return detectable_by_t(
        stdev(found.differences) / math.sqrt(count),
        degrees_of_freedom=count - 1,
        level=level,
        margin=margin,
    )

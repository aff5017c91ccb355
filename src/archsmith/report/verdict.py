"""What may be claimed: winner against baselines, with intervals, and never inside the noise.

One primary comparison and its margin are fixed beforehand; all others are secondary and corrected
together. How two arms are compared stands in `comparison`, what they may have cost in `equal_cost`.
Non-inferiority by a margin: CONSORT, Piaggio et al. 2012.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from archsmith.report.comparison import CONFIDENCE, Comparison, Outcome, compare, corrected
from archsmith.report.equal_cost import at_equal_cost, cost_ratios
from archsmith.report.figures import show_limit
from archsmith.report.study_report import ArmRow, StudyReport
from archsmith.report.training_noise import training_noise
from archsmith.report.verdict_words import caveat, cost_words, sentence


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The claim of a study. `primary` is None where there is nothing to compare yet.

    `recommended` names the arm whose model to take: the winner where it beat the primary baseline,
    else that baseline; None where neither can be recommended. `caveat` says what the interval
    covers, with what noise of one training, and costs that are not equal or not known.
    """

    outcome: Outcome
    primary: Comparison | None
    secondary: tuple[Comparison, ...]
    margin: float
    sentence: str
    caveat: str
    recommended: str | None = None


def judge(report: StudyReport) -> Verdict:
    """The verdict of a study from the blocks of its arms."""
    winners = [arm for arm in report.arms if arm.kind == "search"]
    if not winners:
        return _nothing(report, "the search has no finished model yet")
    winner_name = winners[0].name
    winners = [arm for arm in winners if arm.name == winner_name]
    noise = training_noise(report)
    comparisons = []
    for name in dict.fromkeys(arm.name for arm in report.arms if arm.name != winner_name):
        rows = [arm for arm in report.arms if arm.name == name]
        if rows[0].kind != "floor" and _comparable(winners, rows):
            comparisons.append(compare(winners, rows, margin=report.margin, noise=noise))
    primary = next((c for c in comparisons if c.baseline == report.primary_baseline), None)
    exploratory = corrected([c for c in comparisons if c is not primary], margin=report.margin)
    secondary = [_at_its_cost(report, found) for found in exploratory]
    if primary is None:
        return _nothing(report, _missing(report), secondary)
    for arm in (*winners, *(arm for arm in report.arms if arm.name == primary.baseline)):
        missed = report.missed_limits(arm.metrics)
        if missed:
            names = ", ".join(show_limit(*limit) for limit in missed)
            return _nothing(report, f"the {arm.name} misses {names}", secondary)
    primary = _at_its_cost(report, primary)
    chosen = primary.winner if primary.outcome is Outcome.BEAT else primary.baseline
    return Verdict(
        outcome=primary.outcome,
        primary=primary,
        secondary=tuple(secondary),
        margin=report.margin,
        sentence=sentence(primary, margin=report.margin, recommended=chosen),
        caveat=" ".join(filter(None, (caveat(primary), cost_words(primary)))),
        recommended=chosen,
    )


def bits_per_byte_interval(arm: ArmRow) -> tuple[float, float] | None:
    """95 % interval of an arm's own score over the choice of held-out text; None without blocks."""
    if len(arm.block_nats) < 2:
        return None
    from archsmith.data.intervals import score_interval

    found = score_interval(arm, confidence=CONFIDENCE)
    return found.low, found.high


def _at_its_cost(report: StudyReport, found: Comparison) -> Comparison:
    """The comparison with what both arms cost, and without a claim that the costs forbid."""
    ours, theirs = (
        next(arm for arm in report.arms if arm.name == name)
        for name in (found.winner, found.baseline)
    )
    cpu_ratio, flops_ratio = cost_ratios(report, ours, theirs)
    outcome, reason = at_equal_cost(found.outcome, cpu_ratio, flops_ratio)
    return replace(
        found, outcome=outcome, reason=reason, cpu_ratio=cpu_ratio, flops_ratio=flops_ratio
    )


def _missing(report: StudyReport) -> str:
    """Why there is no primary comparison."""
    wanted, asked = report.primary_baseline, _asked_baselines(report)
    trained = [arm.name for arm in report.arms if arm.kind == "baseline"]
    if asked == () and not trained:
        return "no baseline was asked for"
    if wanted is None:
        return "no baseline was trained"
    if asked is not None and wanted.replace(" ", "_") not in asked and wanted not in trained:
        return f"the primary baseline '{wanted}' was not asked for"
    return f"the primary baseline '{wanted}' has no score on the same text yet"


def _asked_baselines(report: StudyReport) -> tuple[str, ...] | None:
    """What the search file lists as `baselines`; None for a study that was made without one."""
    settings = report.settings.get("settings")
    listed = settings.get("baselines") if isinstance(settings, Mapping) else None
    return tuple(map(str, listed)) if isinstance(listed, list | tuple) else None


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

"""The words and tables of a certificate: its claim in one sentence, its remarks, as Markdown."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from archsmith.report.comparison import Outcome
from archsmith.report.contribution_words import CAPTION, group_rows
from archsmith.report.equal_cost import RULE, costs_differ, ratio_words
from archsmith.report.figures import (
    NONE,
    plural,
    show_difference,
    show_flops,
    show_ratio,
    show_span,
)
from archsmith.report.mean_curves import SHARES, MeanCurve
from archsmith.report.study_report import Opening
from archsmith.units import format_seconds

if TYPE_CHECKING:
    from archsmith.report.certificate import Certificate
    from archsmith.report.contributions import Contributions
    from archsmith.report.seed_comparison import ArmSummary, SeedComparison


CURVES_TITLE = (
    "Best held-out bits per byte so far (search split), mean over seeds, at parts of the longest "
    "run's CPU seconds"
)


class Unpaired(NamedTuple):
    """A corpus on which no seed has both arms of the primary comparison, and which of them ran."""

    corpus: str
    has_first: bool
    has_second: bool


def claim(comparison: "SeedComparison", margin: float) -> str:
    """What a primary comparison says, in one sentence, and whose model to take."""
    first, second = comparison.first, comparison.second
    found, place = comparison.statistics, f" on {comparison.corpus}" if comparison.corpus else ""
    size = f"{abs(found.mean):.4f} bits per byte"
    gap = show_difference(found.mean)
    words = {
        Outcome.BEAT: f"Beat: {first} needs {size} less than the {second}{place}",
        Outcome.LOST: f"Lost: {first} needs {size} more than the {second}{place}",
        Outcome.TIED: (
            f"Tied within the margin of {margin:g}: {first} measured {gap} bits per byte against "
            f"the {second}{place}"
        ),
        Outcome.UNDECIDED: (
            f"{_undecided(comparison)}: {first} measured {gap} bits per byte against the "
            f"{second}{place}"
        ),
    }
    chosen = first if comparison.outcome is Outcome.BEAT else second
    return f"{words[comparison.outcome]} ({evidence(comparison)}). Recommended: {chosen}'s model."


def _undecided(comparison: "SeedComparison") -> str:
    return f"Undecided, {comparison.reason}" if comparison.reason else "Undecided"


def evidence(comparison: "SeedComparison") -> str:
    """Seeds, interval, p, minimal detectable difference and costs of a primary comparison."""
    found = comparison.statistics
    parts = [plural(len(comparison.seeds), "paired seed")]
    if math.isfinite(found.low):
        span = show_span(found.low, found.high, signed=True)
        parts.append(f"exact {100 * found.confidence:.0f} % interval {span}")
    parts.append(f"exact one-sided p = {show_p(comparison.adjusted_p_value)}")
    parts.append(f"non-inferiority p = {show_p(found.p_not_worse)}")
    if math.isfinite(found.detectable):
        parts.append(f"minimal detectable difference {found.detectable:.4f}")
    else:
        parts.append(
            f"no difference could be shown: so few seeds give no p below {found.least_p_value:g}"
        )
    parts.append(ratio_words(comparison.cpu_ratio, comparison.flops_ratio))
    return ", ".join(parts)


def show_p(value: float) -> str:
    """A p-value; never zero."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def opening_remarks(openings: Sequence[Opening]) -> list[str]:
    """When the sealed test splits were opened and what for, and whether more than once."""
    remarks = []
    counts = Counter(opening.study for opening in openings)
    for study in counts:
        own = [opening for opening in openings if opening.study == study]
        shown = "; ".join(f"{show_time(one.time)} for {_purpose(one.what)}" for one in own)
        whose = f" of {study}" if study else ""
        if len(own) == 1:
            remarks.append(f"The sealed test split{whose} was opened once: {shown}.")
        else:
            remarks.append(
                f"The sealed test split{whose} was opened {len(own)} times, so it is no longer "
                f"sealed for what was decided after the first: {shown}."
            )
    return remarks


def _purpose(what: str) -> str:
    """What the store notes in a word, in words."""
    return {"search": "the search's final comparison", "": "no noted purpose"}.get(what, what)


def show_time(seconds: float) -> str:
    """A time since 1970, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def headline(
    primaries: "Sequence[SeedComparison]",
    primary: tuple[str, str],
    margin: float,
    outcome: Outcome,
    unpaired: Sequence[Unpaired] = (),
) -> str:
    """The claim over all corpora, those without a pair named."""
    first, second = primary
    if not primaries:
        return (
            f"Undecided: no seed has both {first} and the {second}. "
            f"Recommended: the {second}'s model."
        )
    if len(primaries) == 1 and not unpaired:
        return claim(primaries[0], margin)
    each = [
        f"{one.outcome} on {_place(one.corpus)}{f', {one.reason}' if one.reason else ''} "
        f"({show_difference(one.statistics.mean)}, {evidence(one)})"
        for one in primaries
    ]
    each += [f"not compared on {_place(one.corpus)} ({_reason(one, primary)})" for one in unpaired]
    words = {
        Outcome.BEAT: f"Beat: {first} beat the {second} on each corpus tried",
        Outcome.LOST: f"Lost: {first} lost to the {second} on each corpus tried",
        Outcome.TIED: f"Tied: {first} and the {second} are tied on each corpus tried",
        Outcome.UNDECIDED: f"Undecided over the corpora tried: {first} against the {second}",
    }
    return f"{words[outcome]}: {'; '.join(each)}."


def unpaired_remarks(unpaired: Sequence[Unpaired], primary: tuple[str, str]) -> list[str]:
    """The corpora that the claim cannot cover."""
    return [
        f"{primary[0]} against the {primary[1]} was not compared on {_place(one.corpus)}: "
        f"{_reason(one, primary)}; so nothing is claimed over all corpora."
        for one in unpaired
    ]


def _reason(one: Unpaired, primary: tuple[str, str]) -> str:
    if one.has_first and one.has_second:
        return "no seed has both"
    ran = [name for name, has in zip(primary, one[1:], strict=True) if has]
    return f"only {ran[0]} has a run there" if ran else "neither has a run there"


def _place(corpus: str) -> str:
    return corpus or "the unnamed corpus"


def remarks_on(comparisons: "Sequence[SeedComparison]", primary: tuple[str, str]) -> list[str]:
    """Seeds left out, costs that are not known or not equal, what was fixed beforehand."""
    remarks = []
    for one in comparisons:
        name = f"{one.first} against {one.second}" + (f" on {one.corpus}" if one.corpus else "")
        if one.unpaired_seeds and one.primary:
            seeds = ", ".join(map(str, one.unpaired_seeds))
            remarks.append(f"{name}: one of the two lacks seed {seeds}, left out.")
        ratios = ((one.cpu_ratio, "CPU seconds"), (one.flops_ratio, "FLOPs"))
        unknown = [what for ratio, what in ratios if math.isnan(ratio)]
        if unknown:
            remarks.append(f"{name}: cost not known ({' and '.join(unknown)}).")
        if any(costs_differ(ratio) for ratio, _ in ratios):
            told = " and ".join(
                f"{ratio:.2f} times the {what}" for ratio, what in ratios if not math.isnan(ratio)
            )
            remarks.append(f"{name}: costs were not equal, {told}.")
    remarks += [RULE] if any(one.reason for one in comparisons) else []
    remarks.append(
        f"One comparison was primary, {primary[0]} against the {primary[1]}; the others are "
        "exploratory. The claim is about the corpora and the budget tried."
    )
    return remarks


def markdown(certificate: "Certificate") -> str:
    """The claim of each corpus, the arms, the comparisons, what was reached when, what the choices
    contributed, the remarks."""
    claims = [claim(one, certificate.margin) for one in certificate.comparisons if one.primary]
    parts = [
        [f"**{certificate.sentence}**"],
        [f"- {text}" for text in claims if text != certificate.sentence],
        _table(arm_rows(certificate.arms)),
        _table(comparison_rows(certificate.comparisons)),
        *_reached(certificate.anytime),
        *_contributed(certificate.contributions),
        [f"- {remark}" for remark in certificate.remarks],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def arm_rows(arms: "Sequence[ArmSummary]") -> list[list[str]]:
    """Titles, then a row an arm and corpus."""
    rows = [["corpus", "arm", "seeds", "test bits per byte [95 % over seeds]", "CPU", "FLOPs"]]
    for one in arms:
        span = f" {show_span(one.low, one.high)}" if math.isfinite(one.low) else ""
        rows.append(
            [
                one.corpus or NONE,
                one.arm,
                str(len(one.seeds)),
                f"{one.bits_per_byte:.4f}{span}",
                NONE if math.isnan(one.cpu_seconds) else format_seconds(one.cpu_seconds),
                NONE if math.isnan(one.flops) else show_flops(one.flops),
            ]
        )
    return rows


def comparison_rows(comparisons: "Sequence[SeedComparison]") -> list[list[str]]:
    """Titles, then a row a comparison."""
    rows = [
        [
            "corpus", "comparison", "seeds", "difference [interval]", "exact p, two-sided",
            "p of paired t", "p that counts", "minimal detectable", "CPU ratio", "FLOPs ratio",
            "outcome",
        ]
    ]  # fmt: skip
    for one in comparisons:
        found = one.statistics
        low, high, kind = found.t_low, found.t_high, "t, 95 %"
        if one.primary and math.isfinite(found.low):
            low, high, kind = found.low, found.high, f"exact, {100 * found.confidence:.0f} %"
        span = f" {show_span(low, high, signed=True)} ({kind})" if math.isfinite(low) else ""
        counts = "exact, one-sided" if one.primary else "t, Holm"
        rows.append(
            [
                one.corpus or NONE,
                f"{one.first} against {one.second}{' (primary)' if one.primary else ''}",
                str(len(one.seeds)),
                f"{show_difference(found.mean)}{span}",
                show_p(found.p_value),
                show_p(found.p_t),
                f"{show_p(one.adjusted_p_value)} ({counts})",
                f"{found.detectable:.4f}" if math.isfinite(found.detectable) else "none",
                show_ratio(one.cpu_ratio),
                show_ratio(one.flops_ratio),
                f"{one.outcome}: {one.reason}" if one.reason else str(one.outcome),
            ]
        )
    return rows


def curve_rows(curves: Sequence[MeanCurve]) -> list[list[str]]:
    """Titles, then a row an arm and corpus."""
    rows = [["corpus", "arm", "seeds", *SHARES, "CPU at 1"]]
    for one in curves:
        reached = [one.bits_per_byte[step - 1] for step in SHARES.values()]
        rows.append(
            [
                one.corpus or NONE,
                one.arm,
                str(one.num_seeds),
                *(NONE if math.isnan(bits) else f"{bits:.4f}" for bits in reached),
                format_seconds(one.cpu_seconds[-1]),
            ]
        )
    return rows


def _reached(curves: Sequence[MeanCurve]) -> list[list[str]]:
    return [[f"{CURVES_TITLE}:"], _table(curve_rows(curves))] if curves else []


def _contributed(found: "Contributions") -> list[list[str]]:
    rows = group_rows(found)
    return [[found.sentence], *([[CAPTION], _table(rows)] if rows else [])]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]

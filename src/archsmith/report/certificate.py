"""The certificate over several search seeds: did a search beat the trivial baseline, or not?

    runs = [ArmRun("law_guided", 0, 1.8123, 741.0, 8.1e12, "wikitext2"), ...]
    certificate = certify(runs, primary=("law_guided", "parameter maximizer"))
    print(certificate.markdown())

The unit is a whole search run, paired by seed. One comparison per corpus is primary and was fixed
beforehand, with its direction and margin: it is decided by an exact one-sided test at 5 %
(`paired`), without any correction. Over several corpora a claim holds where it holds on each
(intersection-union, Berger 1982). All others are exploratory: Student's paired t, two-sided,
corrected together by Holm. "Undecided" is a verdict. Unless the search beat the baseline, the
baseline's model is recommended; nothing is claimed that the search paid more for (`equal_cost`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archsmith.errors import ConfigError, did_you_mean
from archsmith.report.certificate_words import (
    Unpaired,
    claim,
    headline,
    markdown,
    opening_remarks,
    remarks_on,
    unpaired_remarks,
)
from archsmith.report.comparison import Outcome
from archsmith.report.contributions import Contributions
from archsmith.report.mean_curves import MeanCurve, mean_curves
from archsmith.report.seed_comparison import (
    ArmRun,
    ArmSummary,
    SeedComparison,
    compare_over_seeds,
    corrected_by_holm,
    summarize,
)
from archsmith.report.study_report import Opening

_NOT_TOLD = Contributions(reason="the trials behind the runs were not given", num_studies=0)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What may be claimed.

    Attributes:
        outcome: over all corpora: `beat`, `tied` or `lost` where each corpus says so; undecided
            where one of them has no seed with both arms of the primary comparison.
        sentence: the claim in one sentence, with p and the minimal detectable difference.
        recommended: whose model to take, by corpus where the baseline was run.
        comparisons: the primary one of each corpus first, then the exploratory ones.
        anytime: what each arm had reached when, where the runs told it.
        contributions: what each group of choices contributed, or why it cannot be told.
        openings: of the sealed test splits, in order of time.
        remarks: what a reader must know beside the numbers.
    """

    primary: tuple[str, str]
    margin: float
    outcome: Outcome
    sentence: str
    recommended: tuple[tuple[str, str], ...]
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[SeedComparison, ...]
    anytime: tuple[MeanCurve, ...]
    contributions: Contributions
    openings: tuple[Opening, ...]
    remarks: tuple[str, ...]

    def text(self) -> str:
        """The claim, what the choices contributed and the remarks, one a line."""
        lines = [
            self.sentence,
            *(claim(one, self.margin) for one in _claims(self)),
            self.contributions.sentence,
            *self.remarks,
        ]
        return "\n".join(dict.fromkeys(lines))

    def markdown(self) -> str:
        """The claim, the tables, the remarks."""
        return markdown(self)

    def as_json(self) -> dict[str, Any]:
        """JSON values; infinite and unknown numbers are null."""
        found: dict[str, Any] = _finite(
            asdict(self)
            | {
                "primary": list(self.primary),
                "openings": [one._asdict() for one in self.openings],
                "recommended": dict(self.recommended),
            }
        )
        return found


def certify(
    results: Sequence[ArmRun],
    *,
    primary: tuple[str, str],
    margin: float = 0.005,
    contributions: Contributions = _NOT_TOLD,
    openings: Iterable[Opening] = (),
    remarks: Iterable[str] = (),
) -> Certificate:
    """The certificate of some arms, from plain numbers.

    Args:
        results: one entry an arm, seed and corpus, in any order.
        primary: the arm that claims, and the arm it must beat; fixed before anything was trained.
        margin: bits per byte within which two arms count as equal, fixed beforehand too.
        contributions: of the trials behind the runs, where they are known.
        openings: of the sealed test splits; more than one of a study is said so.
        remarks: anything else a reader must know.

    Raises:
        ConfigError: an arm of `primary` without a run, two runs of one arm, seed and corpus, or
            numbers that are none.
    """
    _check(results, primary, margin)
    first, second = primary
    summaries: list[ArmSummary] = []
    primaries: list[SeedComparison] = []
    exploratory: list[SeedComparison] = []
    unpaired: list[Unpaired] = []
    curves: list[MeanCurve] = []
    recommended: list[tuple[str, str]] = []
    for corpus in dict.fromkeys(run.corpus for run in results):
        runs = [run for run in results if run.corpus == corpus]
        names = list(dict.fromkeys(run.arm for run in runs))
        summaries += [summarize(corpus, name, runs) for name in names]
        told = {name: [run.curve for run in runs if run.arm == name] for name in names}
        curves += mean_curves(corpus, told)
        one = compare_over_seeds(corpus, first, second, runs, margin=margin, primary=True)
        if one is not None:
            primaries.append(one)
        else:
            unpaired.append(Unpaired(corpus, first in names, second in names))
        if second in names:
            beat = one is not None and one.outcome is Outcome.BEAT
            recommended.append((corpus, first if beat else second))
        for name in names:
            if name not in primary:
                other = compare_over_seeds(corpus, first, name, runs, margin=margin, primary=False)
                exploratory += [other] if other is not None else []
    comparisons = (*primaries, *corrected_by_holm(exploratory, margin))
    opened = tuple(sorted(openings))
    outcome = _overall(primaries) if not unpaired else Outcome.UNDECIDED
    return Certificate(
        primary=primary,
        margin=margin,
        outcome=outcome,
        sentence=headline(primaries, primary, margin, outcome, unpaired),
        recommended=tuple(recommended),
        arms=tuple(sorted(summaries, key=lambda one: (one.corpus, one.bits_per_byte))),
        comparisons=comparisons,
        anytime=tuple(curves),
        contributions=contributions,
        openings=opened,
        remarks=(
            *unpaired_remarks(unpaired, primary),
            *remarks_on(comparisons, primary),
            *opening_remarks(opened),
            *remarks,
        ),
    )


def _check(results: Sequence[ArmRun], primary: tuple[str, str], margin: float) -> None:
    known = list(dict.fromkeys(run.arm for run in results))
    if primary[0] == primary[1]:
        raise ConfigError(f"primary: an arm cannot be compared with itself, got '{primary[0]}'")
    for name in primary:
        if name not in known:
            raise ConfigError(f"primary: no run of an arm '{name}'; {did_you_mean(name, known)}")
    if not 0 < margin < math.inf:
        raise ConfigError(f"margin: bits per byte above 0 are needed, got {margin}")
    seen = Counter((run.arm, run.seed, run.corpus) for run in results)
    for (arm, seed, corpus), count in seen.items():
        if count > 1:
            where = f" on {corpus}" if corpus else ""
            raise ConfigError(
                f"{arm}, seed {seed}{where}: {count} runs, where one is expected; "
                "average the training seeds of one search first"
            )
    for run in results:
        if not (math.isfinite(run.bits_per_byte) and run.bits_per_byte > 0):
            raise ConfigError(
                f"{run.arm}, seed {run.seed}: bits per byte must be a number above 0, got "
                f"{run.bits_per_byte}; leave the run out, its seed then counts as missing"
            )
        if not (0 <= run.cpu_seconds < math.inf and 0 <= run.flops < math.inf):
            raise ConfigError(
                f"{run.arm}, seed {run.seed}: costs must be 0 or more, got {run.cpu_seconds} CPU "
                f"seconds and {run.flops} FLOPs"
            )
        for seconds, bits in run.curve:
            if not (0 <= seconds < math.inf and 0 < bits < math.inf):
                raise ConfigError(
                    f"{run.arm}, seed {run.seed}: a point of its curve must have 0 or more CPU "
                    f"seconds and bits per byte above 0, got {(seconds, bits)}"
                )


def _overall(primaries: Sequence[SeedComparison]) -> Outcome:
    outcomes = {one.outcome for one in primaries}
    return outcomes.pop() if len(outcomes) == 1 else Outcome.UNDECIDED


def _claims(certificate: Certificate) -> list[SeedComparison]:
    return [one for one in certificate.comparisons if one.primary]


def _finite(value: Any) -> Any:
    """JSON values: containers of numbers, infinite and unknown ones as null."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, Outcome):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""What each group of choices contributed: size, vocabulary, topology, operators, quantization.

A ridge regression of bits per byte on the trials' features (sizes by logarithm, size and aspect
with their squares), its penalty and its R2 by leave-one-out cross-validation. A group's share of
that R2 is its Shapley value over all subsets of the groups (Lindeman, Merenda & Gold 1980; Owen
2014), so that shares add up to R2 however correlated the choices are. Their intervals come from the
delete-d jackknife (Shao & Wu 1989). Beside it stands what the winner's own choices are worth in the
additive model, against the average trial, with a bootstrap interval. Where an interval holds zero,
or there are too few trials, the answer is that it cannot be told.

Trials stand at the rung that most of them finished: the shares speak of that horizon. Those of
several studies are pooled: each study has a mean of its own, in features and in scores, which is
fitted without a penalty, so that neither its corpus nor its seed counts as a choice. What two
studies differ in as a whole is then no evidence for any group.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from archsmith.report.explained_variance import (
    ridge_penalty,
    shapley,
    standardized,
    subset_r2,
    within,
)
from archsmith.report.figures import plural
from archsmith.report.study_report import StudyReport, TrialRow

if TYPE_CHECKING:
    import numpy as np

LEAST_TRIALS = 12
_MOST_TRIALS = 256  # more are thinned out evenly
_JACKKNIFES, _BOOTSTRAPS = 60, 200
_KEPT = 0.8  # of the trials in a jackknife sample
_Z = 1.96
# group -> names of `space.features`
GROUPS: Mapping[str, tuple[str, ...]] = {
    "size": ("log_num_non_embedding_params", "log_num_non_embedding_params^2"),
    "vocabulary": ("log_vocab_size", "is_tied"),
    "topology": (
        "log_width_depth_ratio", "log_width_depth_ratio^2", "log_intermediate_ratio",
        "log_heads_per_kv_head", "log_head_dim",
    ),
    "operators": (
        "is_parallel", "is_layer_norm", "is_gated", "is_qk_norm", "partial_rotary_factor",
        "log_rope_theta", "log_active_share", "log_num_experts", "log_granularity",
        "is_shared_expert", "seen_share", "nope_share",
    ),
    "quantization": ("log_bits_per_weight", "is_k_quant"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """One group of choices.

    Attributes:
        varied: whether the trials differ in it at all; the figures are 0 where they do not.
        share: of the cross-validated R2, with its 95 % interval. Groups that go together (a wider
            network is also a larger one) share what either explains.
        alone: what R2 loses without the group: what no other group explains.
        gain: bits per byte that the winner's choices add to the average trial's (negative: better),
            with its 95 % interval; None without a winner.
    """

    group: str
    varied: bool
    share: float = 0.0
    share_low: float = 0.0
    share_high: float = 0.0
    alone: float = 0.0
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None

    @property
    def told(self) -> bool:
        """Whether the trials show that the group matters."""
        return self.varied and self.share_low > 0


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """All groups.

    Attributes:
        reason: why nothing could be computed; empty otherwise.
        rung, num_trials, spread: the rung of the scores, how many trials, and the standard
            deviation of their bits per byte, within studies.
        num_studies: whose trials they are.
        r2: cross-validated, of all groups together, with its 95 % interval.
    """

    reason: str = ""
    rung: int = -1
    num_trials: int = 0
    spread: float = 0.0
    r2: float = 0.0
    r2_low: float = 0.0
    r2_high: float = 0.0
    groups: tuple[Contribution, ...] = ()
    num_studies: int = 1

    @property
    def sentence(self) -> str:
        """What can be told, in one sentence."""
        if self.reason:
            return f"What each group of choices contributed cannot be told: {self.reason}."
        place = f"{self.num_trials} trials at rung {self.rung}"
        if self.num_studies > 1:
            place += f" of {self.num_studies} studies, each about its own mean"
        if self.r2_low <= 0:
            return (
                f"What each group of choices contributed cannot be told from {place}: "
                f"cross-validated R2 {self.r2:.2f} [{self.r2_low:.2f}, {self.r2_high:.2f}]."
            )
        told = sorted((one for one in self.groups if one.told), key=lambda one: -one.share)
        shares = ", ".join(
            f"{one.group} {one.share:.0%} ({max(one.alone, 0):.0%} that no other explains)"
            for one in told
        )
        open_ = [one.group for one in self.groups if one.varied and not one.told]
        text = (
            f"Of the variance between {place}, {self.r2:.0%} is explained "
            f"[{self.r2_low:.0%}, {self.r2_high:.0%}]: {shares or 'no single group'}"
        )
        return f"{text}; cannot be told: {', '.join(open_)}." if open_ else f"{text}."


class Pool(NamedTuple):
    """Scored trials of one rung, and which study each belongs to.

    Attributes:
        design: features by name, a value a trial.
        scores: bits per byte.
        studies: index of each trial's study, from 0 without gaps.
    """

    rung: int
    design: Mapping[str, Sequence[float]]
    scores: Sequence[float]
    studies: Sequence[int]


def contributions(report: StudyReport, *, seed: int = 0) -> Contributions:
    """Computed from a study's trials. Never raises: what is missing becomes the reason."""
    return pooled_contributions([report], seed=seed)


def pooled_contributions(
    reports: Sequence[StudyReport], *, claims: Sequence[bool] | None = None, seed: int = 0
) -> Contributions:
    """Computed from the trials of several studies together. Never raises.

    Args:
        claims: whose winners `gain` is about, a flag a study; all of them by default.
    """
    import numpy as np

    claiming = [True] * len(reports) if claims is None else claims
    pool, winners = _pooled(reports, claiming)
    count, num_studies = len(pool.scores), len(set(pool.studies))
    empty = Contributions(rung=pool.rung, num_trials=count, num_studies=max(num_studies, 1))
    # a study's own mean costs one trial
    least = LEAST_TRIALS + max(num_studies - 1, 0)
    if count < least:
        place = f" in {num_studies} studies" if num_studies > 1 else ""
        reason = f"{plural(count, 'scored trial')}{place}, and at least {least} are needed"
        return replace(empty, reason=reason)
    y, studies = np.asarray(pool.scores), np.asarray(pool.studies)
    centred = within(y, studies)
    if np.ptp(centred) <= 1e-12:
        return replace(empty, reason="all trials scored the same")
    columns = {name: within(np.asarray(values), studies) for name, values in pool.design.items()}
    varying = {
        group: [name for name in names if np.ptp(columns[name]) > 1e-9]
        for group, names in GROUPS.items()
    }
    varied = {
        group: np.stack([np.asarray(pool.design[name]) for name in names], axis=1)
        for group, names in varying.items()
        if names
    }
    if not varied:
        return replace(empty, reason="no choice was varied")
    rng = np.random.default_rng(seed)
    r2 = subset_r2(varied, y, studies)
    shares, total = shapley(r2, list(varied)), r2[frozenset(varied)]
    kept = max(round(_KEPT * count), least - 2)
    samples = []
    for _ in range(_JACKKNIFES):
        chosen = rng.permutation(count)[:kept]
        parts = {name: matrix[chosen] for name, matrix in varied.items()}
        samples.append(subset_r2(parts, y[chosen], studies[chosen]))
    drawn = [shapley(sample, list(varied)) for sample in samples]
    scale = math.sqrt(kept / (count - kept))
    half = {name: _Z * scale * float(np.std([part[name] for part in drawn])) for name in varied}
    half_total = _Z * scale * float(np.std([sample[frozenset(varied)] for sample in samples]))
    points = [
        (study, {group: np.asarray([found[name] for name in varying[group]]) for group in varied})
        for study, found in winners
    ]
    gains = _gains(varied, y, studies, points, rng)
    return replace(
        empty,
        spread=math.sqrt(float(np.sum(centred**2)) / (count - num_studies)),
        r2=total,
        r2_low=total - half_total,
        r2_high=min(total + half_total, 1.0),
        groups=tuple(
            Contribution(
                group=name,
                varied=True,
                share=shares[name],
                share_low=shares[name] - half[name],
                share_high=shares[name] + half[name],
                alone=total - r2[frozenset(varied) - {name}],
                **gains.get(name, {}),
            )
            if name in varied
            else Contribution(group=name, varied=False)
            for name in GROUPS
        ),
    )


def _pooled(
    reports: Sequence[StudyReport], claims: Sequence[bool]
) -> tuple[Pool, list[tuple[int, Mapping[str, float]]]]:
    """The trials, and the features of the claiming studies' winners with their study's index.

    Studies with a single trial at the rung are left out: there is nothing to compare it with.
    """
    counts: Counter[int] = Counter()
    for report in reports:
        counts.update(rung for trial in _finished(report) for rung in _scores(trial))
    if not counts:
        return Pool(-1, {}, (), ()), []
    rung = max(counts, key=lambda index: (counts[index], index))
    usable = [
        (place, trial)
        for place, report in enumerate(reports)
        for trial in _finished(report)
        if rung in _scores(trial)
    ]
    if len(usable) > _MOST_TRIALS:
        usable = [usable[index * len(usable) // _MOST_TRIALS] for index in range(_MOST_TRIALS)]
    known = [
        (place, row, _scores(trial)[rung])
        for place, trial in usable
        if (row := _features(trial.architecture)) is not None
    ]
    sizes = Counter(place for place, _, _ in known)
    several = len(reports) > 1
    index = {
        place: number
        for number, place in enumerate(p for p in sizes if sizes[p] > 1 or not several)
    }
    known = [one for one in known if one[0] in index]
    design = {name: [row[name] for _, row, _ in known] for name in (known[0][1] if known else ())}
    pool = Pool(rung, design, [s for _, _, s in known], [index[place] for place, _, _ in known])
    winners: list[tuple[int, Mapping[str, float]]] = []
    for place, report in enumerate(reports):
        trees = [arm.architecture for arm in report.arms if arm.kind == "search"]
        found = _features(trees[0]) if trees and claims[place] and place in index else None
        winners += [(index[place], found)] if found is not None else []
    return pool, winners


def _finished(report: StudyReport) -> list[TrialRow]:
    return [
        trial for trial in report.trials if trial.architecture and "layers" in trial.architecture
    ]


def _scores(trial: TrialRow) -> dict[int, float]:
    """Bits per byte by rung, where there is one."""
    told = {rung: found.get("bits_per_byte") for rung, found in trial.rung_metrics.items()}
    return {rung: bits for rung, bits in told.items() if bits is not None and math.isfinite(bits)}


def _features(tree: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Features with their squares; None for what is no architecture of this version."""
    from archsmith.architecture.tree import Architecture
    from archsmith.errors import ArchsmithError
    from archsmith.space.features import features

    try:
        found = dict(features(Architecture.model_validate(tree)))
    except (ValueError, ArchsmithError):
        return None
    # about the optimum of width / depth, 48 (Gemstones), and a million parameters
    for name, centre in (
        ("log_width_depth_ratio", math.log(48)),
        ("log_num_non_embedding_params", math.log(1e6)),
    ):
        found[f"{name}^2"] = (found[name] - centre) ** 2
    return found


def _gains(
    groups: Mapping[str, "np.ndarray"],
    y: "np.ndarray",
    studies: "np.ndarray",
    winners: Sequence[tuple[int, Mapping[str, "np.ndarray"]]],
    rng: "np.random.Generator",
) -> dict[str, dict[str, float]]:
    """What the winners' choices are worth in the additive model, in the mean, with bootstrap
    intervals: over the trials of each study."""
    import numpy as np

    if not winners:
        return {}

    joined = np.concatenate(list(groups.values()), axis=1)
    penalty = ridge_penalty(
        standardized(within(joined, studies)), within(y, studies), len(set(studies.tolist()))
    )
    points = np.stack([np.concatenate([point[name] for name in groups]) for _, point in winners])
    homes = np.asarray([study for study, _ in winners])

    def worth(rows: "np.ndarray") -> dict[str, float]:
        own, x = studies[rows], joined[rows]
        inside = within(x, own)
        spread = inside.std(axis=0)
        spread = np.where(spread > 0, spread, np.inf)
        scaled = inside / spread
        system = scaled.T @ scaled + penalty * np.eye(x.shape[1])
        slopes = np.linalg.solve(system, scaled.T @ within(y[rows], own)) / spread
        means = np.stack([x[own == study].mean(axis=0) for study in homes])
        each, found, start = slopes * (points - means).mean(axis=0), {}, 0
        for name, matrix in groups.items():
            found[name] = float(each[start : start + matrix.shape[1]].sum())
            start += matrix.shape[1]
        return found

    whole = worth(np.arange(len(y)))
    members = [np.flatnonzero(studies == study) for study in range(int(studies.max()) + 1)]
    drawn = [
        worth(np.concatenate([own[rng.integers(0, len(own), len(own))] for own in members]))
        for _ in range(_BOOTSTRAPS)
    ]
    gains = {}
    for name in groups:
        low, high = np.percentile([one[name] for one in drawn], [2.5, 97.5])
        gains[name] = {"gain": whole[name], "gain_low": float(low), "gain_high": float(high)}
    return gains

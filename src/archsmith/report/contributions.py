"""What each group of choices contributed: size, vocabulary, topology, operators, quantization.

A ridge regression of bits per byte on the trials' features (sizes by logarithm, size and aspect
with their squares), its penalty and its R2 by leave-one-out cross-validation. A group's share of
that R2 is its Shapley value over all subsets of the groups (Lindeman, Merenda & Gold 1980; Owen
2014), so that shares add up to R2 however correlated the choices are. Their intervals come from the
delete-d jackknife (Shao & Wu 1989). Beside it stands what the winner's own choices are worth in the
additive model, against the average trial, with a bootstrap interval. Where an interval holds zero,
or there are too few trials, the answer is that it cannot be told.

Trials stand at the rung that most of them finished: the shares speak of that horizon.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from archsmith.report.study_report import StudyReport

if TYPE_CHECKING:
    import numpy as np

LEAST_TRIALS = 12
_MOST_TRIALS = 256  # more are thinned out evenly
_JACKKNIFES, _BOOTSTRAPS = 60, 200
_KEPT = 0.8  # of the trials in a jackknife sample
_PENALTIES = (
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
    100.0,
)  # of standardized features; their sum of squares is n
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
            deviation of their bits per byte.
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

    @property
    def sentence(self) -> str:
        """What can be told, in one sentence."""
        if self.reason:
            return f"What each group of choices contributed cannot be told: {self.reason}."
        place = f"{self.num_trials} trials at rung {self.rung}"
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


def contributions(report: StudyReport, *, seed: int = 0) -> Contributions:
    """Computed from a study's trials. Never raises: what is missing becomes the reason."""
    import numpy as np

    rung, rows, scores = _trials(report)
    if len(rows) < LEAST_TRIALS:
        return Contributions(
            reason=f"{len(rows)} scored trials, and at least {LEAST_TRIALS} are needed",
            rung=rung,
            num_trials=len(rows),
        )
    design = {name: [row[name] for row in rows] for name in rows[0]}
    y = np.asarray(scores)
    if np.ptp(y) == 0:
        return Contributions(reason="all trials scored the same", rung=rung, num_trials=len(rows))
    groups = {name: _matrix(design, features) for name, features in GROUPS.items()}
    varied = {name: matrix for name, matrix in groups.items() if matrix.shape[1]}
    if not varied:
        return Contributions(reason="no choice was varied", rung=rung, num_trials=len(rows))
    rng = np.random.default_rng(seed)
    r2 = subset_r2(varied, y)
    shares, total = shapley(r2, list(varied)), r2[frozenset(varied)]
    kept = max(round(_KEPT * len(y)), LEAST_TRIALS - 2)
    drawn = [rng.permutation(len(y))[:kept] for _ in range(_JACKKNIFES)]
    samples = [
        subset_r2({name: matrix[chosen] for name, matrix in varied.items()}, y[chosen])
        for chosen in drawn
    ]
    parts = [shapley(sample, list(varied)) for sample in samples]
    scale = math.sqrt(kept / (len(y) - kept))
    half = {name: _Z * scale * float(np.std([part[name] for part in parts])) for name in varied}
    half_total = _Z * scale * float(np.std([sample[frozenset(varied)] for sample in samples]))
    gains = _gains(varied, y, _winner(report, design), rng)
    return Contributions(
        rung=rung,
        num_trials=len(y),
        spread=float(np.std(y, ddof=1)),
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


def subset_r2(groups: Mapping[str, "np.ndarray"], y: "np.ndarray") -> dict[frozenset[str], float]:
    """The cross-validated R2 of every subset of the groups.

    Args:
        groups: name to features [trials, any].
        y: responses [trials].
    """
    import numpy as np

    found = {frozenset[str](): 0.0}
    for size in range(1, len(groups) + 1):
        for chosen in combinations(groups, size):
            joined = np.concatenate([groups[name] for name in chosen], axis=1)
            found[frozenset(chosen)] = cross_validated_r2(joined, y)
    return found


def shapley(values: Mapping[frozenset[str], float], names: Sequence[str]) -> dict[str, float]:
    """Each name's mean gain over all orders of joining; together the value of all names."""
    count, shares = len(names), dict.fromkeys(names, 0.0)
    for name in names:
        for subset, value in values.items():
            if name not in subset:
                orders = math.factorial(len(subset)) * math.factorial(count - len(subset) - 1)
                gain = values[subset | {name}] - value
                shares[name] += orders / math.factorial(count) * gain
    return shares


def cross_validated_r2(features: "np.ndarray", y: "np.ndarray") -> float:
    """Leave-one-out R2 of the best ridge; 0 where none predicts better than the mean."""
    import numpy as np

    count = len(y)
    x = _standardized(features)
    centred = y - y.mean()
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = x @ vectors
    shrunk = 1 / (np.maximum(values, 0)[:, None] + np.asarray(_PENALTIES))  # [features, penalties]
    fitted = rotated @ (shrunk * (rotated.T @ centred)[:, None])
    leverage = 1 / count + rotated**2 @ shrunk
    left_out = (centred[:, None] - fitted) / np.maximum(1 - leverage, 1e-9)
    baseline = float(np.sum((centred * count / (count - 1)) ** 2))
    best = min(baseline, float(np.min(np.sum(left_out**2, axis=0))))
    return 1 - best / baseline if baseline > 0 else 0.0


def _trials(report: StudyReport) -> tuple[int, list[dict[str, float]], list[float]]:
    """The rung most trials finished, their features and bits per byte there."""
    finished = [
        trial for trial in report.trials if trial.architecture and "layers" in trial.architecture
    ]
    counts: dict[int, int] = {}
    for trial in finished:
        for rung, metrics in trial.rung_metrics.items():
            if math.isfinite(metrics.get("bits_per_byte", math.nan)):
                counts[rung] = counts.get(rung, 0) + 1
    if not counts:
        return -1, [], []
    rung = max(counts, key=lambda index: (counts[index], index))
    usable = [
        trial
        for trial in finished
        if math.isfinite(trial.rung_metrics.get(rung, {}).get("bits_per_byte", math.nan))
    ]
    if len(usable) > _MOST_TRIALS:
        usable = [usable[index * len(usable) // _MOST_TRIALS] for index in range(_MOST_TRIALS)]
    rows = [(_features(trial.architecture), trial.rung_metrics[rung]) for trial in usable]
    known = [(row, metrics["bits_per_byte"]) for row, metrics in rows if row is not None]
    return rung, [row for row, _ in known], [score for _, score in known]


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


def _matrix(design: Mapping[str, Sequence[float]], names: Sequence[str]) -> "np.ndarray":
    """The columns that vary, [trials, columns]."""
    import numpy as np

    columns = [np.asarray(design[name]) for name in names if np.ptp(design[name]) > 1e-9]
    return np.stack(columns, axis=1) if columns else np.empty((len(next(iter(design.values()))), 0))


def _standardized(x: "np.ndarray") -> "np.ndarray":
    import numpy as np

    spread = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _winner(
    report: StudyReport, design: Mapping[str, Sequence[float]]
) -> dict[str, "np.ndarray"] | None:
    """The winner's features, by group and for the columns that vary; None without a winner."""
    import numpy as np

    trees = [arm.architecture for arm in report.arms if arm.kind == "search"]
    found = _features(trees[0]) if trees and trees[0] else None
    if found is None:
        return None
    return {
        group: np.asarray([found[name] for name in names if np.ptp(design[name]) > 1e-9])
        for group, names in GROUPS.items()
    }


def _gains(
    groups: Mapping[str, "np.ndarray"],
    y: "np.ndarray",
    winner: Mapping[str, "np.ndarray"] | None,
    rng: "np.random.Generator",
) -> dict[str, dict[str, float]]:
    """What the winner's choices are worth in the additive model, with bootstrap intervals."""
    import numpy as np

    if winner is None:
        return {}

    joined = np.concatenate(list(groups.values()), axis=1)
    penalty = _penalty(_standardized(joined), y)

    def worth(rows: "np.ndarray") -> dict[str, float]:
        x = joined[rows]
        point = np.concatenate([winner[name] for name in groups])
        centre, spread = x.mean(axis=0), x.std(axis=0)
        spread = np.where(spread > 0, spread, np.inf)
        scaled = (x - centre) / spread
        system = scaled.T @ scaled + penalty * np.eye(x.shape[1])
        slopes = np.linalg.solve(system, scaled.T @ (y[rows] - y[rows].mean())) / spread
        each, found, start = slopes * (point - centre), {}, 0
        for name, matrix in groups.items():
            found[name] = float(each[start : start + matrix.shape[1]].sum())
            start += matrix.shape[1]
        return found

    whole = worth(np.arange(len(y)))
    drawn = [worth(rng.integers(0, len(y), len(y))) for _ in range(_BOOTSTRAPS)]
    gains = {}
    for name in groups:
        low, high = np.percentile([one[name] for one in drawn], [2.5, 97.5])
        gains[name] = {"gain": whole[name], "gain_low": float(low), "gain_high": float(high)}
    return gains


def _penalty(x: "np.ndarray", y: "np.ndarray") -> float:
    """The ridge penalty of least generalized cross-validation error."""
    import numpy as np

    values, vectors = np.linalg.eigh(x.T @ x)
    rotated, centred = x @ vectors, y - y.mean()
    fitted_by = rotated.T @ centred
    errors = {}
    for penalty in _PENALTIES:
        shrunk = 1 / (np.maximum(values, 0) + penalty)
        freedom = 1 + float(np.sum(np.maximum(values, 0) * shrunk))
        residual = centred - rotated @ (shrunk * fitted_by)
        errors[penalty] = float(np.sum(residual**2)) / max(1 - freedom / len(y), 1e-3) ** 2
    return min(errors, key=lambda penalty: errors[penalty])

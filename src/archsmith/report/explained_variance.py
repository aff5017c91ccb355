"""How much of the variance between trials groups of features explain: ridge regression about the
means of their studies, judged by leaving each trial out.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_PENALTIES = (
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
    100.0,
)  # of standardized features; their sum of squares is n


def subset_r2(
    groups: Mapping[str, "np.ndarray"], y: "np.ndarray", studies: "np.ndarray | None" = None
) -> dict[frozenset[str], float]:
    """The cross-validated R2 of every subset of the groups.

    Args:
        groups: name to features [trials, any].
        y: responses [trials].
        studies: which study each trial is of; all are of one by default.
    """
    import numpy as np

    found = {frozenset[str](): 0.0}
    for size in range(1, len(groups) + 1):
        for chosen in combinations(groups, size):
            joined = np.concatenate([groups[name] for name in chosen], axis=1)
            found[frozenset(chosen)] = cross_validated_r2(joined, y, studies)
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


def cross_validated_r2(
    features: "np.ndarray", y: "np.ndarray", studies: "np.ndarray | None" = None
) -> float:
    """Leave-one-out R2 of the best ridge about the studies' own means; 0 where none predicts better
    than those do."""
    import numpy as np

    own = np.zeros(len(y), dtype=int) if studies is None else studies
    sizes = np.bincount(own)[own]
    told = sizes > 1  # nothing is left of a study to predict its only trial from
    features, y, own, sizes = features[told], y[told], own[told], sizes[told]
    if len(y) == 0:
        return 0.0
    x = standardized(within(features, own))
    centred = within(y, own)
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = x @ vectors
    shrunk = 1 / (np.maximum(values, 0)[:, None] + np.asarray(_PENALTIES))  # [features, penalties]
    fitted = rotated @ (shrunk * (rotated.T @ centred)[:, None])
    leverage = 1 / sizes[:, None] + rotated**2 @ shrunk
    left_out = (centred[:, None] - fitted) / np.maximum(1 - leverage, 1e-9)
    baseline = float(np.sum((centred * sizes / (sizes - 1)) ** 2))
    best = min(baseline, float(np.min(np.sum(left_out**2, axis=0))))
    return 1 - best / baseline if baseline > 0 else 0.0


def within(values: "np.ndarray", studies: "np.ndarray") -> "np.ndarray":
    """Values [trials, ...] less the mean of each trial's study."""
    import numpy as np

    sums = np.zeros((int(studies.max()) + 1, *values.shape[1:]))
    np.add.at(sums, studies, values)
    sizes = np.maximum(np.bincount(studies), 1)
    return values - (sums.T / sizes).T[studies]


def standardized(x: "np.ndarray") -> "np.ndarray":
    """Columns of mean 0 and deviation 1, constant ones of 0."""
    import numpy as np

    spread = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def ridge_penalty(x: "np.ndarray", centred: "np.ndarray", num_means: int) -> float:
    """The penalty of least generalized cross-validation error.

    Args:
        num_means: of studies, that features and responses are less.
    """
    import numpy as np

    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = x @ vectors
    fitted_by = rotated.T @ centred
    errors = {}
    for penalty in _PENALTIES:
        shrunk = 1 / (np.maximum(values, 0) + penalty)
        freedom = num_means + float(np.sum(np.maximum(values, 0) * shrunk))
        residual = centred - rotated @ (shrunk * fitted_by)
        errors[penalty] = float(np.sum(residual**2)) / max(1 - freedom / len(centred), 1e-3) ** 2
    return min(errors, key=lambda penalty: errors[penalty])

"""How wrong a surrogate is about readings it has not seen, against how wrong it says it is.

Hyperparameters and weights are fitted to the readings at hand, and what was fitted is too sure of
them. So folds of whole trunks are left out of all that was fitted, the weights of the kinds
included (selection within the folds, as Varma & Simon 2006, doi 10.1186/1471-2105-7-91, and Cawley
& Talbot 2010, JMLR 11, want it for errors), and the errors on them are compared with what was said.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from archsmith.errors import EvaluationError
from archsmith.surrogate.readings import Reading, group_numbers
from archsmith.surrogate.stack import Stack

_FOLDS = 4
_SCALE_WEIGHT = 6.0  # readings that the scale 1 counts as


def calibration(readings: Sequence[Reading], fit: Callable[[Sequence[Reading]], Stack]) -> float:
    """The factor at which deviations match the errors of readings left out.

    Args:
        fit: all that was done to get a stack from the readings; done again without each fold.
    """
    return scale_of(scores_left_out(readings, fit))


def scale_of(scores: np.ndarray) -> float:
    """The root of their mean square, drawn to 1 where there are few."""
    total = float(np.sum(np.square(scores))) + _SCALE_WEIGHT
    return math.sqrt(total / (len(scores) + _SCALE_WEIGHT))


def scores_left_out(
    readings: Sequence[Reading], fit: Callable[[Sequence[Reading]], Stack]
) -> np.ndarray:
    """Errors of readings left out, in deviations that were told of them; at most [readings].

    A fold without which nothing can be fitted tells nothing.
    """
    folds = _folds(readings)
    scores: list[float] = []
    for fold in range(int(folds.max()) + 1):
        kept = [reading for reading, own in zip(readings, folds, strict=True) if own != fold]
        left = [reading for reading, own in zip(readings, folds, strict=True) if own == fold]
        if not kept:  # all on one trunk
            break
        try:
            fitted = fit(kept)
            mean, variance = fitted.predict(left, trunks=range(-len(left), 0))
        except (EvaluationError, RuntimeError, ValueError, np.linalg.LinAlgError):
            continue
        values = np.array([reading.value for reading in left])
        away = (values - fitted.offset) / fitted.scale - mean
        scores += (away / np.sqrt(variance)).tolist()
    return np.array(scores)


def _folds(readings: Sequence[Reading]) -> np.ndarray:
    """The fold of each reading, the same for readings of a trunk; [readings]."""
    numbers = group_numbers(readings)
    num_groups = int(numbers.max()) + 1
    # neighbours in value in different folds: a fold that holds all the best extrapolates
    order = np.argsort([reading.value for reading in readings], kind="stable")
    fold_of_group = np.full(num_groups, -1)
    for place, group in enumerate(dict.fromkeys(numbers[order].tolist())):
        fold_of_group[group] = place % min(_FOLDS, num_groups)
    return fold_of_group[numbers]

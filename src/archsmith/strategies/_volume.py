"""Expected hypervolume improvement of many points over one front, from draws of their values.

The volume is computed exactly of every draw (moocore; Guerreiro et al. 2021, arXiv 2005.00515): ten
to twenty microseconds with three or four objectives, where to divide the space beyond a front into
boxes, and to ask all of them about every draw, takes a second and grows with the dimension faster.

What gains nothing counts by how far it is from gaining, as little as that is: then a point that
hardly ever improves is still told from one that never does (log form, as in Ament et al. 2023,
arXiv 2310.20708).
"""

import numpy as np
from scipy.special import log_expit, logsumexp

_LEAST = 1e-12  # volume, in scaled units; what rounding may give is smaller
_TEMPERATURE = 1e-2  # of what a draw lacks to gain, in scaled units
_LIMIT_TEMPERATURE = 1e-3  # of by how much a draw breaks a limit, as in BoTorch


def log_volume_improvement(
    draws: np.ndarray, front: np.ndarray, reference: np.ndarray, breach: np.ndarray
) -> np.ndarray:
    """Logarithm of the hypervolume that each point is expected to add to the front's, [m].

    Args:
        draws: of points' objectives, all minimized, [s, m, k].
        front: of what is known, dominated points among them or not, [f, k].
        reference: only what is better in every objective has a volume, [k].
        breach: by how much a draw breaks each limit, negative where it holds, [s, m, l].
    """
    shape = draws.shape[:-1]
    points = draws.reshape(-1, draws.shape[-1])
    lack = (points - reference).max(axis=1)
    if len(front):
        lack = np.maximum(lack, _depth(points, front))
    gain = np.full(len(points), _LEAST)
    places = np.flatnonzero(lack < 0)
    gain[places] = np.maximum(_improvement(points[places], front, reference), _LEAST)
    logs = (np.log(gain) - np.maximum(lack, 0) / _TEMPERATURE).reshape(shape)
    logs += log_expit(-breach / _LIMIT_TEMPERATURE).sum(axis=-1)
    return np.asarray(logsumexp(logs, axis=0) - np.log(len(draws)))


def _depth(points: np.ndarray, front: np.ndarray) -> np.ndarray:
    """By how much each would have to be better in every objective to be dominated no more, [m]."""
    least = np.full((len(points), len(front)), np.inf)
    for own, others in zip(points.T, front.T, strict=True):
        np.minimum(least, own[:, None] - others, out=least)
    return np.asarray(least.max(axis=1))


def _improvement(points: np.ndarray, front: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The volume that each point, alone, adds to the front's, [m]."""
    from moocore import Hypervolume, filter_dominated  # 0.1 s

    volume = Hypervolume(ref=reference)
    front = front[(front < reference).all(axis=1)]
    if not len(front):
        return np.asarray((reference - points).prod(axis=1))
    front = filter_dominated(front)
    before = volume(front)
    asked = np.vstack([front, front[:1]])
    found = np.empty(len(points))
    for place, point in enumerate(points):
        asked[-1] = point
        found[place] = volume(asked) - before
    return found

"""How good a search was after every evaluation, and intervals over repeats.

Regret: what the row that looks best to the search (by the seed it saw) loses to the best row there
is, both by their scored values. Hypervolume share: what the rows that look best cover of the
objectives' space, by their scored values, divided by what the table's true front covers; the
reference point is the worst scored value of every objective (hypervolume by moocore, Fonseca et
al. 2006, doi 10.1109/CEC.2006.1688440). A front that covers nothing so, because each of its models
is the worst in something, has it a tenth of the range beyond the worst.

Intervals are those of a mean over repeats: bootstrap percentiles, which cover too little of few
repeats; below ten, Student's t (Student 1908, doi 10.1093/biomet/6.1.1). One repeat has none.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archsmith.replay.table import Table

RESAMPLES = 2000
LEAST_RESAMPLED = 10  # of normal values, percentiles cover 50 % of two and 90 % of ten
_BEYOND = 1.1  # reference point of a front that covers nothing up to the worst values


class Interval(NamedTuple):
    """A mean over repeats with the ends of its 95 % interval, which are NaN of one repeat."""

    mean: float
    low: float
    high: float

    @property
    def has_ends(self) -> bool:
        """Whether there were repeats enough for an interval."""
        return math.isfinite(self.low)


class Truth:
    """What can be found in a table: its best row, or its front and what the front covers.

    Attributes:
        reference: the hypervolume's reference point, where 1 is the worst value of each objective.
    """

    def __init__(self, table: Table) -> None:
        import moocore

        self._table = table
        values = table.scored[table.allowed]
        self.low, self.high = values.min(axis=0), values.max(axis=0)
        unit = self._unit(values)
        self.front_size, self.front_volume, self.reference = 1, 1.0, 1.0
        if unit.shape[1] > 1:
            self.front_size = int(moocore.is_nondominated(unit).sum())
            if _volume(unit, self.reference) == 0.0:
                self.reference = _BEYOND
            self.front_volume = _volume(unit, self.reference)

    @property
    def measure(self) -> str:
        """What a curve shows: `regret` or `hypervolume_share`."""
        return "regret" if len(self._table.objectives) == 1 else "hypervolume_share"

    def curve(self, rows: Sequence[int], *, seed: int) -> np.ndarray:
        """The measure after each evaluation of one search. [len(rows)]

        `seed` is the training seed the search saw. Before anything was found the regret is that of
        the worst row, the share 0.
        """
        seen = self._table.shown[self._table.shown_seed(seed)][list(rows)]
        true = self._table.scored[list(rows)]
        usable = np.isfinite(seen).all(axis=1) & np.isfinite(true).all(axis=1)
        usable &= self._table.allowed[list(rows)]
        if self.measure == "regret":
            return self._regret(seen[:, 0], true[:, 0], usable)
        return self._share(seen, true, usable)

    def _regret(self, seen: np.ndarray, true: np.ndarray, usable: np.ndarray) -> np.ndarray:
        best, chosen = np.inf, float(self.high[0])
        curve = np.empty(len(seen))
        for step in range(len(seen)):
            if usable[step] and seen[step] < best:
                best, chosen = seen[step], true[step]
            curve[step] = chosen - self.low[0]
        return curve

    def _share(self, seen: np.ndarray, true: np.ndarray, usable: np.ndarray) -> np.ndarray:
        curve, share = np.empty(len(seen)), 0.0
        front = np.zeros(0, dtype=np.int64)
        for step in range(len(seen)):
            if usable[step] and not _is_dominated(seen[step], seen[front]):
                beaten = (seen[step] <= seen[front]).all(axis=1)
                front = np.append(front[~beaten], step)
                share = _volume(self._unit(true[front]), self.reference) / self.front_volume
            curve[step] = share
        return curve

    def _unit(self, values: np.ndarray) -> np.ndarray:
        return (values - self.low) / (self.high - self.low)


def _is_dominated(values: np.ndarray, front: np.ndarray) -> bool:
    """Whether a row of the front is at least as good in everything."""
    return bool((front <= values).all(axis=1).any())


def _volume(unit: np.ndarray, reference: float) -> float:
    import moocore

    return float(moocore.hypervolume(unit, ref=np.full(unit.shape[1], reference)))


def mean_interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """The mean of one value per repeat, with the ends of its 95 % interval. values: [R]"""
    low, high = band(values[:, None], seed=seed)
    return Interval(float(values.mean()), float(low[0]), float(high[0]))


def band(curves: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the mean's 95 % interval at every step; NaN of one repeat.

    curves: [R, T] -> [T], [T]. `seed` is that of the bootstrap, from ten repeats on.
    """
    repeats = len(curves)
    if repeats < LEAST_RESAMPLED:
        return _student(curves)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=RESAMPLES)
    means = counts @ curves / repeats
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return low, high


def _student(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import stdtrit

    mean, repeats = curves.mean(axis=0), len(curves)
    if repeats == 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stdtrit(repeats - 1, 0.975) * curves.std(axis=0, ddof=1) / math.sqrt(repeats)
    return mean - half, mean + half


def interval_words(repeats: int) -> str:
    """What the intervals over so many repeats are."""
    if repeats == 1:
        return "one repeat has no interval"
    name = "bootstrap" if repeats >= LEAST_RESAMPLED else "Student's t"
    return f"95 % {name} intervals over repeats"

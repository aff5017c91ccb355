"""A recorded table ready to be searched: a space, what training shows, and what is true.

One row is one trained model. A search is shown the objectives of one training seed and judged by
the scored values (the mean over seeds, or a column of its own). Everything is minimized: values of
a maximized objective change their sign. A row whose objective is missing, infinite or beyond 1e100
was trained and failed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from archsmith.errors import ConfigError, InfeasibleError, did_you_mean
from archsmith.replay.description import Objective, TableDescription
from archsmith.replay.reading import Columns, Value, as_number, read_columns
from archsmith.replay.space import Dimension, Row, TableSpace
from archsmith.trial import Limit

_ABSENT = "-"
_LARGEST = 1e100  # sums of squared differences have to stay finite
_LIMIT = re.compile(r"\s*(\S+?)\s*(<=|>=)\s*(.+?)\s*")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with the objectives of one run.

    Attributes:
        name: the file's.
        space: its rows as points.
        objectives: their names.
        signs: -1 where larger is better, else 1; [K].
        shown: what training shows, minimized, NaN where it failed; [S, N, K], S training seeds.
        scored: what a search is judged by, minimized; [N, K].
        static: what is known before training, minimized or not; each [N].
        limits: hard limits on static metrics.
        seen_seed: see `TableDescription`.
    """

    name: str
    space: TableSpace
    objectives: tuple[str, ...]
    signs: tuple[float, ...]
    shown: np.ndarray
    scored: np.ndarray
    static: Mapping[str, np.ndarray]
    limits: tuple[Limit, ...] = ()
    seen_seed: str = "first"

    @cached_property
    def allowed(self) -> np.ndarray:
        """Rows that were trained without failing, within the limits; [N] of bool."""
        kept = np.isfinite(self.scored).all(axis=1)
        for limit in self.limits:
            values = self.static[limit.metric]
            kept &= np.array([limit.holds(float(value)) for value in values])
        return kept

    def shown_seed(self, repeat_seed: int) -> int:
        """Which training seed the search of a repeat sees."""
        return 0 if self.seen_seed == "first" else repeat_seed % len(self.shown)

    def static_metrics(self, point: Row) -> dict[str, float]:
        """What is known of a row before training."""
        return {name: float(values[point.number]) for name, values in self.static.items()}


def load_table(
    path: Path,
    description: TableDescription,
    *,
    objectives: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> Table:
    """Read a table for a run on some of its objectives (all that are described, by default).

    Raises ConfigError where file and description disagree or nothing can be searched for, and
    InfeasibleError where no row meets the limits.
    """
    columns = read_columns(path).only(description.where)
    dimensions, levels = _choices(columns, description)
    rows = _rows(columns, description, levels)  # [N][repeats]
    first = np.array([numbers[0] for numbers in rows])
    static = {
        name: np.array(columns.numbers(column))[first]
        for name, column in description.static.items()
    }
    _require_numbers(columns.name, static)
    names = tuple(objectives) or tuple(description.objectives)
    shown, scored, signs = _measured(columns, description, names, rows, static)
    for place, name in enumerate(names):
        if name in static:
            static[name] = scored[:, place]
    table = Table(
        name=path.name,
        space=TableSpace(dimensions, levels[first], _features(columns, description, static, first)),
        objectives=names,
        signs=signs,
        shown=shown,
        scored=scored,
        static=static,
        limits=tuple(_limit(text, columns.name, static) for text in limits),
        seen_seed=description.seen_seed,
    )
    _require_something_to_find(table)
    return table


def _choices(columns: Columns, description: TableDescription) -> tuple[list[Dimension], np.ndarray]:
    """The choices and which value each line of the file has in them. [lines, D]"""
    choices, dimensions, levels = description.choices, [], []
    named = [("categorical", p) for p in choices.categorical]
    named += [("ordinal", p) for p in choices.ordinal]
    found = {c: (kind, pattern) for kind, pattern in named for c in columns.matching(pattern)}
    for column, (kind, pattern) in found.items():
        values, known = columns.values(column), list[Value]()
        if kind == "ordinal":
            numbers = columns.numbers(column)  # raises for text
            known += [_ABSENT] if any(map(math.isnan, numbers)) else []
            known += sorted({number for number in numbers if not math.isnan(number)})
            values = [*(_ABSENT if math.isnan(number) else number for number in numbers)]
        else:
            values = [_ABSENT if value is None else value for value in values]
            known = sorted(dict.fromkeys(values), key=_sort_key)
        place = {level: index for index, level in enumerate(known)}
        group = pattern if pattern != column else ""  # named together, by one pattern
        dimensions.append(Dimension(column, kind, tuple(known), group))  # type: ignore[arg-type]
        levels.append([place[value] for value in values])
    return dimensions, np.array(levels, dtype=np.int64).reshape(len(found), len(columns)).T


def _sort_key(value: Value) -> tuple[bool, float, str]:
    number = as_number(value)
    return (number is None, number or 0.0, str(value))


def _rows(columns: Columns, description: TableDescription, levels: np.ndarray) -> list[list[int]]:
    """Lines of the file by model. Raises ConfigError for a model recorded twice."""
    identity = description.choices.identity
    keys = columns.values(identity) if identity else list(map(tuple, levels.tolist()))
    models: dict[object, list[int]] = {}
    for line, key in enumerate(keys):
        models.setdefault(key, []).append(line)
    rows = list(models.values())
    twice = next((lines for lines in rows if len(lines) > 1), None)
    if twice is not None and description.repeated_rows == "error":
        what = f"{identity} {keys[twice[0]]!r}" if identity else "the same choices"
        raise ConfigError(
            f"{columns.name}: rows {twice[0] + 1} and {twice[1] + 1} have {what}; "
            'repeated_rows = "seeds" (--seeds-in-rows) reads them as training seeds of one model, '
            "or name more columns as choices"
        )
    return rows


def _measured(
    columns: Columns,
    description: TableDescription,
    names: Sequence[str],
    rows: Sequence[Sequence[int]],
    static: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Shown [S, N, K] and scored [N, K] values, minimized, and the signs."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{columns.name}: the objective '{twice}' is named twice")
    shown, scored, signs = [], [], []
    for name in names:
        if name in description.objectives:
            objective = description.objectives[name]
        elif name in description.static:
            objective = Objective(columns=(description.static[name],))
        else:
            known = {*description.objectives, *description.static}
            raise ConfigError(
                f"{columns.name}: no objective '{name}' is described; {did_you_mean(name, known)}"
            )
        if name in static and objective.direction == "maximize":
            raise ConfigError(
                f"'{name}' is a maximized objective and a static metric; name them differently"
            )
        sign = -1.0 if objective.direction == "maximize" else 1.0
        seeds = _seeds(columns, objective, rows) * (sign * objective.scale)
        if objective.scored is None:
            true = _mean(seeds)
        else:
            by_line = _usable(np.array(columns.numbers(objective.scored)))
            true = np.array([np.mean(by_line[list(lines)]) for lines in rows])
            true *= sign * objective.scale
        shown.append(seeds)
        scored.append(true)
        signs.append(sign)
    if not names:
        raise ConfigError(f"{columns.name}: no objective is described; add [objectives.NAME]")
    most = max(len(seeds) for seeds in shown)
    # an objective with fewer seeds repeats its own
    stacked = [np.resize(seeds, (most, len(rows))) for seeds in shown]
    return np.stack(stacked, axis=2), np.stack(scored, axis=1), tuple(signs)


def _seeds(columns: Columns, objective: Objective, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Values by seed; rows with fewer repeats than others repeat their own. [S, N]"""
    found = [name for c in objective.columns for name in columns.expand(c)]
    by_column = np.array([columns.numbers(name) for name in found])  # [C, lines]
    most = max(len(lines) for lines in rows)
    seeds = [
        by_column[column, [lines[repeat % len(lines)] for lines in rows]]
        for repeat in range(most)
        for column in range(len(by_column))
    ]
    return _usable(np.array(seeds))


def _usable(values: np.ndarray) -> np.ndarray:
    """NaN instead of what cannot be computed with."""
    return np.where(np.abs(values) <= _LARGEST, values, np.nan)


def _mean(seeds: np.ndarray) -> np.ndarray:
    """Mean over the seeds that did not fail; NaN where all did. [N]"""
    known = np.isfinite(seeds)
    total = np.where(known, seeds, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _features(
    columns: Columns,
    description: TableDescription,
    static: Mapping[str, np.ndarray],
    first: np.ndarray,
) -> dict[str, np.ndarray]:
    features = {
        f"log_{name}": np.log(values) for name, values in static.items() if (values > 0).all()
    }
    for name, column in description.features.items():
        values = np.array(columns.numbers(column))[first]
        if name.startswith("log_"):
            if not (values > 0).all():
                raise ConfigError(
                    f"{columns.name}: feature '{name}' takes the logarithm of '{column}', which is "
                    "not positive in every row"
                )
            values = np.log(values)
        features[name] = values
    _require_numbers(columns.name, features)
    return features


def _require_numbers(name: str, metrics: Mapping[str, np.ndarray]) -> None:
    for metric, values in metrics.items():
        missing = np.flatnonzero(np.isnan(_usable(values)))
        if len(missing):
            raise ConfigError(
                f"{name}: '{metric}' is missing or no usable number in {len(missing)} of "
                f"{len(values)} rows (first in row {missing[0] + 1}); what is known before "
                "training must be known of every row: leave it out, or those rows by [where]"
            )


def _limit(text: str, name: str, static: Mapping[str, np.ndarray]) -> Limit:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"cannot read the limit {text!r}; write METRIC <= VALUE, as in 'num_params <= 2M'"
        )
    metric, comparison, value = found.groups()
    if metric not in static:
        raise ConfigError(
            f"{name}: only static metrics can be limited, and '{metric}' is none; "
            f"{did_you_mean(metric, static)}"
        )
    number = as_number(value)
    if number is None or not math.isfinite(number):
        return Limit.of(metric, comparison, value)
    return Limit(metric=metric, comparison=comparison, value=number)


def _require_something_to_find(table: Table) -> None:
    lost = int((~np.isfinite(table.scored).all(axis=1)).sum())
    if not table.allowed.any():
        if table.limits and lost < len(table.scored):
            limits = ", ".join(str(limit) for limit in table.limits)
            raise InfeasibleError(f"{table.name}: none of {len(table.scored)} rows meets {limits}")
        raise ConfigError(
            f"{table.name}: no row has a number for {' and '.join(table.objectives)}: "
            f"all {len(table.scored)} count as failed"
        )
    for place, name in enumerate(table.objectives):
        values = table.scored[table.allowed, place]
        if values.min() == values.max():
            raise ConfigError(
                f"{table.name}: objective '{name}' is {abs(values[0]):g} in every row that may be "
                f"found: nothing to search for{f'; rows that failed: {lost}' if lost else ''}"
            )

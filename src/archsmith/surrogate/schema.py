"""How readings become numbers for a process: what its columns mean, fixed by the readings fitted.

A process sees, per point: scaled features (choices one-hot), the slopes of its mean function (of
the law about its fit, or the features themselves where there is no law) times the prior's spreads,
the earlier study it is from, the logarithm of the text read, the trunk's number, and the mean
itself. Linear in the slopes, a process knows how uncertain its mean is and how that uncertainty is
shared between points. Where no law says what text does, its logarithm is one of the numbers too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archsmith.errors import ConfigError
from archsmith.prior import unique_equivalent
from archsmith.surrogate.law import LawFit, evaluate, fit_law, jacobian, table
from archsmith.surrogate.readings import (
    CHOICE_PREFIX,
    Reading,
    columns,
    group_numbers,
    has_law,
    source_table,
    sources,
)

_FLAT = 1e-9  # a feature that varies less is left out
_SHIFT_SPREAD = 10.0  # of an earlier study's values, in their own spread, where there is no law


class Schema(NamedTuple):
    """The columns of a process.

    Attributes:
        numbers: features that are numbers, with `center` and `spread` of the fitted ones.
        choices: features that are unordered choices, with the `levels` seen of each.
        law: the law whose slopes are the mean's; None where the mean is linear in the features.
        offset, scale: values are (value - offset) / scale inside.
        text_center: mean logarithm of text read, 0 where it is not known.
        text_spread: of the logarithm, where it is a number beside the features; else None.
        sources: earlier studies, each with a column for its shift; none where the law's slopes
            hold their shifts.
    """

    numbers: tuple[str, ...]
    center: np.ndarray
    spread: np.ndarray
    choices: tuple[str, ...]
    levels: tuple[tuple[float, ...], ...]
    law: LawFit | None
    offset: float
    scale: float
    text_center: float
    knows_text: bool
    text_spread: float | None = None
    sources: tuple[str, ...] = ()

    @property
    def num_numbers(self) -> int:
        """Columns of scaled numbers, the text's among them."""
        return len(self.numbers) + (self.text_spread is not None)

    @property
    def num_features(self) -> int:
        """Columns of scaled features, choices one per level."""
        return self.num_numbers + sum(map(len, self.levels))

    @property
    def num_slopes(self) -> int:
        """Columns of slopes of the mean."""
        return len(self.law.letters) if self.law else 1 + self.num_features

    @property
    def num_columns(self) -> int:
        """All columns: features, slopes, shifts, text, trunk, mean."""
        return self.num_features + self.num_slopes + len(self.sources) + 3


def make_schema(readings: Sequence[Reading], *, law: LawFit | None) -> Schema:
    """The schema of readings, of which there is at least one."""
    names = tuple(readings[0].features)
    values = columns([reading.features for reading in readings], names)
    spread = values.std(axis=0)
    choices = tuple(name for name in names if name.startswith(CHOICE_PREFIX))
    kept = [
        index for index, name in enumerate(names) if name not in choices and spread[index] > _FLAT
    ]
    levels = tuple(
        tuple(float(level) for level in np.unique(values[:, names.index(name)])) for name in choices
    )
    target = np.array([reading.value for reading in readings])
    earlier = sources(readings)
    if law is None:
        level = target
        if earlier:  # about what each study's values are spread around
            own = np.array([reading.source for reading in readings])
            middles = {name: float(np.median(target[own == name])) for name in np.unique(own)}
            base = middles.get("", float(np.median(target)))
            level = target - np.array([middles[name] - base for name in own])
        offset, scale = float(np.median(level)), float(level.std())
    else:  # what the law leaves
        offset = 0.0
        data = table(readings, knows_text=law.knows_text)
        left = target / law.unit - evaluate(data, law.values, law.letters)
        scale = max(float(np.sqrt(np.mean(left**2))) * law.unit, law.noise)
    text = _log_text(readings)
    # a law knows what text does
    varies = text is not None and law is None and float(text.std()) > _FLAT
    return Schema(
        numbers=tuple(names[index] for index in kept),
        center=values[:, kept].mean(axis=0),
        spread=spread[kept],
        choices=choices,
        levels=levels,
        law=law,
        offset=offset,
        scale=scale if scale > 1e-12 * max(1.0, abs(float(np.median(target)))) else 1.0,
        text_center=float(text.mean()) if text is not None else 0.0,
        knows_text=text is not None,
        text_spread=float(text.std()) if text is not None and varies else None,
        sources=earlier if law is None else (),
    )


def inputs(
    schema: Schema, readings: Sequence[Reading], *, trunks: Sequence[int] | None = None
) -> np.ndarray:
    """The columns of readings or of points to predict, [points, num_columns].

    Args:
        trunks: a number per point; those of `group_numbers` if not told. Equal numbers share luck.
    """
    points = [reading.features for reading in readings]
    values = columns(points, (*schema.numbers, *schema.choices))
    count = len(schema.numbers)
    numbers = (values[:, :count] - schema.center) / schema.spread
    text = _log_text(readings) if schema.knows_text else None
    if schema.text_spread is not None:
        if text is None:
            raise ConfigError("the surrogate was fitted with bytes of text read; say how many")
        about = (text - schema.text_center) / schema.text_spread
        numbers = np.concatenate([numbers, about[:, None]], axis=1)
    codes = [
        (values[:, [count + place]] == np.array(levels)).astype(float)
        for place, levels in enumerate(schema.levels)
    ]
    one_hot = np.concatenate(codes, axis=1) if codes else np.zeros((len(points), 0))
    if schema.law is None:
        mean = np.zeros(len(points))
        slopes = np.concatenate([np.ones((len(points), 1)), numbers, one_hot], axis=1)
    else:
        law = schema.law
        data = table(readings, knows_text=law.knows_text)
        by_letter = jacobian(data, law.values, law.letters) * law.unit
        mean = evaluate(data, law.values, law.letters) * law.unit
        mean = mean + by_letter @ (law.prior_values - law.values)
        slopes = by_letter * law.prior_spreads
    away = text - schema.text_center if text is not None else np.zeros(len(points))
    groups = group_numbers(readings) if trunks is None else np.asarray(trunks)
    parts = [
        numbers,
        one_hot,
        slopes / schema.scale if schema.law else slopes,
        _SHIFT_SPREAD * source_table(readings, schema.sources),
        away[:, None],
        groups[:, None].astype(float),
        ((mean - schema.offset) / schema.scale if schema.law else mean)[:, None],
    ]
    return np.concatenate(parts, axis=1)


def fit_mean(readings: Sequence[Reading], *, unit: float) -> LawFit | None:
    """The law of readings that have its features, else None."""
    return fit_law(readings, unit=unit) if has_law(tuple(readings[0].features)) else None


def _log_text(readings: Sequence[Reading]) -> np.ndarray | None:
    if any(reading.train_bytes is None for reading in readings):
        return None
    return np.log([unique_equivalent(r.train_bytes or 1.0, r.unique_bytes) for r in readings])

"""Calibration: readings left out of all that was chosen, of whole trunks, and few count little."""

from functools import partial

import numpy as np
import pytest
from helpers_surrogate import draw_readings

from archsmith.errors import EvaluationError
from archsmith.surrogate import surrogate as module
from archsmith.surrogate.calibration import calibration, scale_of, scores_left_out
from archsmith.surrogate.kinds import weigh_kinds
from archsmith.surrogate.process import Kind, fit_process
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.schema import inputs, make_schema
from archsmith.surrogate.stack import Part, Stack
from archsmith.surrogate.surrogate import fit_surrogate

_NAMES = tuple(f"useless_{number}" for number in range(20))


def line_through(name, readings):
    """A mean linear in one feature."""
    seen = [r._replace(features={name: r.features[name]}) for r in readings]
    schema = make_schema(seen, law=None)
    values = np.array([r.value for r in seen])
    fitted = fit_process(schema, inputs(schema, seen), values, Kind.MEAN, iterations=0)
    return Stack((Part(1.0, fitted),))


def best_line(readings):
    lines = (line_through(name, readings) for name in _NAMES)
    return max(lines, key=lambda line: line.heaviest.log_densities.sum())


def covered(line, readings, scale):
    """Share of readings in the interval of 90 % of a normal distribution."""
    mean, variance = line.predict(readings, trunks=range(-len(readings), 0))
    values = np.array([r.value for r in readings])
    away = (values - line.offset) / line.scale - mean
    return np.mean(np.abs(away) <= 1.645 * scale * np.sqrt(variance))


def test_a_choice_kept_within_the_folds_makes_intervals_too_narrow():
    # 20 features that tell nothing: the best of them seems to tell something of the 16 readings
    # that chose it, in the folds too unless it is chosen without them
    kept, anew = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        readings = [
            Reading(dict(zip(_NAMES, rng.normal(size=20), strict=True)), float(rng.normal()))
            for _ in range(216)
        ]
        some, left = readings[:16], readings[16:]
        line = best_line(some)
        chosen = line.heaviest.schema.numbers[0]
        kept.append(covered(line, left, calibration(some, partial(line_through, chosen))))
        anew.append(covered(line, left, calibration(some, best_line)))
    assert np.mean(kept) < 0.8
    assert np.mean(anew) > np.mean(kept) + 0.08


def test_a_fit_weighs_anew_without_each_fold(monkeypatch):
    seen = []

    def watching(readings, **settings):
        seen.append((len(readings), settings))
        return weigh_kinds(readings, **settings)

    monkeypatch.setattr(module, "weigh_kinds", watching)
    readings = draw_readings(9)
    surrogate = fit_surrogate(readings, unit=2.0, kinds=(Kind.MEAN, Kind.BOTH), iterations=5)
    assert [count for count, _ in seen] == [9, 6, 7, 7, 7]
    settings = {"unit": 2.0, "kinds": (Kind.MEAN, Kind.BOTH), "law": True, "iterations": 5}
    assert all(given == settings for _, given in seen)
    assert surrogate.scale != 1.0


def test_readings_of_a_trunk_are_left_out_together():
    readings = [r._replace(trunk=place // 3) for place, r in enumerate(draw_readings(12))]
    without = []

    def fit(kept):
        without.append({r.trunk for r in readings} - {r.trunk for r in kept})
        assert len(kept) == 9
        return weigh_kinds(kept, kinds=(Kind.MEAN,), iterations=0).stack

    assert len(scores_left_out(readings, fit)) == 12
    assert sorted(without, key=min) == [{0}, {1}, {2}, {3}]


def test_a_fold_without_which_nothing_fits_tells_nothing():
    readings = draw_readings(8)
    worst = max(readings, key=lambda reading: reading.value)

    def fit(kept):
        if worst not in kept:
            raise EvaluationError("planted")
        return weigh_kinds(kept, kinds=(Kind.MEAN,), iterations=0).stack

    assert len(scores_left_out(readings, fit)) == 6


def test_few_errors_move_the_scale_little_and_many_settle_it():
    assert scale_of(np.zeros(0)) == 1.0
    assert 1 < scale_of(np.array([3.0])) < 2
    assert scale_of(np.full(1000, 3.0)) == pytest.approx(3.0, rel=0.01)

"""Earlier studies: what their corpus does to all values alike is fitted, and the rest is used."""

import json

import numpy as np
import pytest
from helpers_surrogate import draw_readings

from archsmith.errors import ConfigError
from archsmith.surrogate.earlier import read_earlier
from archsmith.surrogate.extrapolation import leave_one_corpus_out
from archsmith.surrogate.law import fit_law
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate


def of_another_corpus(readings, *, shift=0.0, factor=1.0):
    return [r._replace(value=factor * r.value + shift, source="earlier.jsonl") for r in readings]


def error(own, earlier, fresh):
    surrogate = fit_surrogate([*earlier, *own], calibrate=False, iterations=15)
    return np.abs(surrogate.predict(fresh).mean - [reading.value for reading in fresh]).mean()


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_another_corpus_never_harms_and_helps_where_there_is_little(count):
    alone, beside = [], {"shift .4": [], "shift 1": [], "factor 1.3": []}
    for seed in range(3):
        readings = draw_readings(count + 40, seed=seed)
        own, fresh = readings[:count], readings[count:]
        other = draw_readings(40, seed=100 + seed)
        alone.append(error(own, [], fresh))
        beside["shift .4"].append(error(own, of_another_corpus(other, shift=0.4), fresh))
        beside["shift 1"].append(error(own, of_another_corpus(other, shift=1.0), fresh))
        beside["factor 1.3"].append(error(own, of_another_corpus(other, factor=1.3), fresh))
    for errors in beside.values():
        assert np.mean(errors) < {3: 0.5, 8: 1.0}[count] * np.mean(alone)


def test_a_law_finds_shift_and_factor_of_each_study():
    own = draw_readings(12, noise=0.001)
    first = of_another_corpus(draw_readings(30, seed=1, noise=0.001), shift=0.4)
    second = of_another_corpus(draw_readings(30, seed=2, noise=0.001), factor=1.3)
    second = [reading._replace(source="second") for reading in second]
    fit = fit_law([*own, *first, *second])
    found = dict(zip(fit.letters, fit.values, strict=True))
    assert found["shift of earlier.jsonl"] == pytest.approx(0.4, abs=0.03)
    assert found["factor of earlier.jsonl"] == pytest.approx(0.0, abs=0.03)
    assert found["factor of second"] == pytest.approx(np.log(1.3), abs=0.03)
    assert fit.noise < 0.004
    assert len(fit_law(own).letters) == len(fit.letters) - 4


def picks(rng, effect):
    chosen = rng.integers(0, 3, len(effect))
    features = {f"choice_{place}": float(pick) for place, pick in enumerate(chosen)}
    value = sum(effect[place, pick] for place, pick in enumerate(chosen))
    return Reading(features, value + 0.05 * rng.standard_normal())


def test_without_a_law_a_study_is_shifted_too():
    rng = np.random.default_rng(0)
    effect = rng.normal(size=(4, 3))
    own = [picks(rng, effect) for _ in range(8)]
    earlier = of_another_corpus([picks(rng, effect) for _ in range(40)], shift=30.0)
    fresh = [picks(rng, effect) for _ in range(40)]
    assert error(own, earlier, fresh) < 0.4 * error(own, [], fresh)


def test_a_shift_is_no_skill():
    rng = np.random.default_rng(1)
    nothing = [r._replace(value=rng.standard_normal()) for r in draw_readings(60)]
    readings = [*nothing[:30], *of_another_corpus(nothing[30:], shift=50.0)]
    surrogate = fit_surrogate(readings, law=False, calibrate=False, iterations=10)
    assert abs(surrogate.skill) < 0.5


def test_where_no_law_says_what_text_does_its_logarithm_is_learned():
    rng = np.random.default_rng(2)
    effect = rng.normal(size=(4, 3))
    readings, ends = [], []
    for trunk in range(24):
        reading = picks(rng, effect)
        luck = 0.1 * rng.standard_normal()
        early = reading._replace(value=reading.value + luck + 6.0, train_bytes=1e6, trunk=trunk)
        end = reading._replace(value=reading.value + luck, train_bytes=8e6, trunk=trunk)
        readings += [early, end] if trunk < 6 else [early]
        ends.append(end._replace(trunk=None))
    surrogate = fit_surrogate(readings, calibrate=False, iterations=20)
    means = surrogate.predict(ends[6:]).mean
    assert np.abs(means - [end.value for end in ends[6:]]).mean() < 1.0


def test_process_only_knows_what_text_does():
    readings = [
        reading._replace(value=reading.value - np.log(text), train_bytes=1e6 * text, trunk=place)
        for text in (1, 8)
        for place, reading in enumerate(draw_readings(16))
    ]
    surrogate = fit_surrogate(readings, kinds=[Kind.PROCESS], calibrate=False, iterations=20)
    new = [reading._replace(trunk=None) for reading in readings[16:]]
    errors = np.abs(surrogate.predict(new).mean - [reading.value for reading in new])
    assert errors.mean() < 0.3  # the mean of both amounts is 1.04 away


def test_a_corpus_left_out_tells_levels_from_differences():
    readings = [r._replace(corpus="a") for r in draw_readings(12, noise=0.001)]
    other = of_another_corpus(draw_readings(12, seed=1, noise=0.001), shift=0.4)
    found = leave_one_corpus_out([*readings, *(r._replace(corpus="b") for r in other)])
    assert found.num_readings == 24
    assert found.mean_error > 0.3
    assert found.difference_error < 0.1


@pytest.mark.parametrize("name", ["train_bytes", "unique_bytes", "corpus_bits_per_byte"])
@pytest.mark.parametrize("amount", [0, -5])
def test_a_file_whose_amounts_are_not_positive_is_refused(tmp_path, name, amount):
    path = tmp_path / "first.jsonl"
    record = {"features": {"wave": 0.1}, "metrics": {"bits_per_byte": 1.5}, name: amount}
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=rf"line 1: .*{name}.* positive"):
        read_earlier(path)

"""Law, process or both: the readings decide; trunks share luck; intervals; falling back."""

import math
import re

import numpy as np
import pytest
from helpers_surrogate import draw_features, draw_readings, planted

from archsmith.errors import ConfigError
from archsmith.prior import shipped
from archsmith.surrogate import extrapolation
from archsmith.surrogate.extrapolation import leave_one_corpus_out, leave_one_size_out
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate, update_surrogate


def wave(features):
    return 0.08 * math.sin(4 * features["wave"])


def errors(surrogate, readings):
    return np.abs(surrogate.predict(readings).mean - [reading.value for reading in readings])


def covered(surrogate, readings):
    forecast = surrogate.predict(readings)
    values = np.array([reading.value for reading in readings])
    return (forecast.low <= values) & (values <= forecast.high)


def weights(surrogate):
    return {part.fitted.kind: part.weight for part in surrogate.stack.parts}


def test_where_the_law_holds_the_others_do_no_harm():
    readings = draw_readings(90)
    surrogate = fit_surrogate(readings[:30], calibrate=False)
    assert weights(surrogate)[Kind.PROCESS] < 0.2
    law = fit_surrogate(readings[:30], kinds=[Kind.MEAN], calibrate=False)
    assert law.description == "law only"
    assert errors(surrogate, readings[30:]).mean() < 1.2 * errors(law, readings[30:]).mean()


def test_what_the_law_leaves_is_the_process():
    readings = draw_readings(90, extra=wave)
    surrogate = fit_surrogate(readings[:45], calibrate=False)
    law = fit_surrogate(readings[:45], kinds=[Kind.MEAN], calibrate=False)
    assert weights(surrogate)[Kind.BOTH] > 0.6
    assert "law + process" in surrogate.description
    assert errors(surrogate, readings[45:]).mean() < 0.5 * errors(law, readings[45:]).mean()


def test_what_no_law_describes_is_left_to_the_process():
    rng = np.random.default_rng(0)

    def bumpy(features):
        return math.cos(2 * features["log_width_depth_ratio"]) + math.sin(4 * features["wave"])

    features = [draw_features(rng, wave=rng.uniform(-1, 1)) for _ in range(60)]
    readings = [Reading(f, 2 + bumpy(f)) for f in features]
    surrogate = fit_surrogate(readings, calibrate=False)
    assert weights(surrogate).get(Kind.MEAN, 0.0) < 0.1
    told = [float(weight) for weight in re.findall(r"\d\.\d\d", surrogate.description)]
    assert sum(told) == pytest.approx(1.0, abs=0.02)


def test_choices_switch_the_law_off_by_their_names():
    rng = np.random.default_rng(1)
    effect = rng.normal(size=(4, 3))

    def reading():
        picks = rng.integers(0, 3, 4)
        features = {f"choice_{place}": float(pick) for place, pick in enumerate(picks)}
        value = sum(effect[place, pick] for place, pick in enumerate(picks))
        return Reading(features, value + 0.05 * rng.standard_normal())

    surrogate = fit_surrogate([reading() for _ in range(40)], calibrate=False)
    fresh = [reading() for _ in range(40)]
    assert surrogate.stack.heaviest.schema.law is None
    assert "linear mean" in surrogate.description
    assert errors(surrogate, fresh).mean() < 0.15


@pytest.mark.slow
def test_calibrated_intervals_hold_as_often_as_they_say():
    inside = []
    for seed in range(3):
        readings = draw_readings(74, seed=seed, noise=0.01, extra=wave)
        surrogate = fit_surrogate(readings[:24], iterations=15)
        inside += covered(surrogate, readings[24:]).tolist()
    assert 0.75 < np.mean(inside) < 0.99


def trunks(count, fractions, *, seed=0):
    """Readings of trunks at fractions of 64 MB; each has its luck, which the rungs share."""
    rng = np.random.default_rng(seed)
    readings = []
    for number in range(count):
        features = draw_features(rng)
        luck = 0.05 * rng.standard_normal()
        for fraction in fractions:
            value = planted(features, 64e6 * fraction) + luck + 0.003 * rng.standard_normal()
            readings.append(Reading(features, value, 64e6 * fraction, trunk=number))
    return readings


def test_an_early_reading_of_a_trunk_tells_of_its_end():
    readings = trunks(18, (0.03, 0.1, 0.3, 1.0))
    finished, running = readings[: 4 * 12], readings[4 * 12 :]
    surrogate = fit_surrogate([*finished, *running[::4]], kinds=[Kind.MEAN], calibrate=False)
    ends = running[3::4]
    strangers = [reading._replace(trunk=None) for reading in ends]
    assert errors(surrogate, ends).mean() < 0.5 * errors(surrogate, strangers).mean()
    known, new = surrogate.predict(ends).deviation, surrogate.predict(strangers).deviation
    assert (known < new).all()
    assert covered(surrogate, ends).mean() > 0.6
    # a later rung tells more
    later = fit_surrogate(
        [*finished, *running[::4], *running[2::4]], kinds=[Kind.MEAN], calibrate=False
    )
    assert (later.predict(ends).deviation < known).all()


def test_intervals_widen_beyond_four_times_the_longest_text():
    readings = trunks(10, (0.5, 1.0))
    surrogate = fit_surrogate(readings, kinds=[Kind.MEAN], calibrate=False)
    point = readings[0]._replace(trunk=None)
    reach = [
        surrogate.predict([point._replace(train_bytes=64e6 * times)]).deviation[0]
        for times in (1, 4, 64)
    ]
    relative = 4 * shipped().log_error_per_doubling / 1.645 * surrogate.predict([point]).mean[0]
    assert reach[0] <= reach[1] * 1.2
    assert reach[2] > max(1.5 * reach[1], 0.5 * relative)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_constant_or_repeated_readings_are_survived(count):
    reading = draw_readings(1)[0]
    forecast = fit_surrogate([reading] * count, iterations=10).predict([reading])
    assert forecast.mean[0] == pytest.approx(reading.value, abs=0.1)
    assert np.isfinite(forecast.deviation).all()
    assert forecast.deviation[0] > 0


def test_readings_of_a_single_trunk_leave_nothing_to_calibrate_by():
    readings = [reading._replace(trunk="one") for reading in draw_readings(5, train_bytes=4e6)]
    assert fit_surrogate(readings, iterations=5).scale == 1.0


def test_nothing_to_read_is_said_so():
    with pytest.raises(ConfigError, match="at least one reading"):
        fit_surrogate([])
    with pytest.raises(ConfigError, match="finite"):
        fit_surrogate([draw_readings(1)[0]._replace(value=math.inf)])


def test_an_update_knows_the_new_readings():
    readings = draw_readings(60, extra=wave)
    surrogate = fit_surrogate(readings[:30], kinds=[Kind.BOTH], calibrate=False)
    renewed = update_surrogate(surrogate, readings)
    assert renewed.num_readings == 60
    assert errors(renewed, readings[30:]).mean() < errors(surrogate, readings[30:]).mean()


def test_sizes_are_left_out_of_what_the_search_proposes_by(monkeypatch):
    asked = []

    def quick(readings, **options):
        asked.append((len(readings), options))
        return fit_surrogate(readings, **options, kinds=[Kind.MEAN], iterations=3)

    monkeypatch.setattr(extrapolation, "fit_surrogate", quick)
    readings = draw_readings(8)
    readings[3] = readings[3]._replace(value=30.0)
    found = leave_one_size_out(readings)
    assert found.num_readings == 7
    assert found.notes == ("30 left out, far above the rest",)
    assert found.mean_error < 1.0
    assert all(options == {"unit": 1.0, "calibrate": False} for _, options in asked)


@pytest.mark.slow
def test_sizes_and_corpora_left_out_are_reported():
    readings = [
        reading._replace(corpus="ab"[index % 2]) for index, reading in enumerate(draw_readings(12))
    ]
    sizes = leave_one_size_out(readings[:8])
    assert len(sizes.error_by_group) > 4
    assert sizes.mean_error < 0.15
    corpora = leave_one_corpus_out(readings)
    assert set(corpora.error_by_group) == {"a", "b"}
    assert corpora.mean_error < 0.06
    with pytest.raises(ConfigError, match="at least two, got 1"):
        leave_one_corpus_out(draw_readings(4))


def test_earlier_studies_of_longer_texts_do_not_keep_intervals_narrow():
    own = draw_readings(10, train_bytes=2e6)
    earlier = [
        reading._replace(source="earlier.jsonl")
        for reading in draw_readings(10, seed=1, train_bytes=1e9)
    ]
    quick = {"kinds": [Kind.MEAN], "calibrate": False, "iterations": 3}
    assert fit_surrogate([*earlier, *own], **quick).longest_bytes == 2e6
    assert fit_surrogate(earlier, **quick).longest_bytes == 1e9


def test_what_an_acquisition_draws_from_widens_with_the_text_too():
    surrogate = fit_surrogate(
        draw_readings(12, train_bytes=2e6), calibrate=False, iterations=3, kinds=[Kind.MEAN]
    )
    points = [
        reading._replace(train_bytes=text) for text in (8e6, 256e6) for reading in draw_readings(2)
    ]
    plain = surrogate.stack.posterior(points, trunks=range(-4, 0))
    found = surrogate.posterior(points)
    assert found.mean == pytest.approx(plain.mean)
    assert found.variance[:2] == pytest.approx(plain.variance[:2])
    more = (found.variance - plain.variance)[2:]
    means = plain.mean[2:] * surrogate.stack.scale + surrogate.stack.offset
    relative = 5 * shipped().log_error_per_doubling / 1.645
    assert np.sqrt(more) * surrogate.stack.scale == pytest.approx(relative * means)
    # an error they share: differences at one horizon are as sure as before
    apart = np.array([0.0, 0.0, 1.0, -means[0] / means[1]])
    assert apart @ found.covariance @ apart == pytest.approx(apart @ plain.covariance @ apart)
    others = surrogate.posterior(points, others=3)
    assert others.covariance == pytest.approx(found.covariance[:, 3:])


def test_the_law_is_left_out_where_values_are_not_positive():
    accuracies = [r._replace(value=-75 + 4 * r.value) for r in draw_readings(24)]
    surrogate = fit_surrogate(accuracies, unit=75.0, calibrate=False, iterations=10)
    assert surrogate.stack.heaviest.schema.law is None
    assert "linear mean" in surrogate.description
    assert surrogate.notes == ("the law was left out: it needs positive values",)
    without_law = [
        r._replace(features={"log_num_non_embedding_params": r.value}) for r in accuracies
    ]
    assert fit_surrogate(without_law, calibrate=False, iterations=3).notes == ()

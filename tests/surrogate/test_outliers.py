"""Values far above the rest: a training that diverged bends nothing, a small network is none."""

import math

import numpy as np
import pytest
from helpers_surrogate import draw_readings
from scipy.stats import spearmanr

from archsmith.surrogate.outliers import below_ceiling, tame
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate, update_surrogate

_ALL = list(Kind)


def diverged(readings, *places, value=8.0):
    return [r._replace(value=value) if p in places else r for p, r in enumerate(readings)]


@pytest.mark.parametrize("kinds", [_ALL, [Kind.PROCESS]], ids=["weighed", "process"])
@pytest.mark.parametrize("value", [8.0, 30.0])
def test_one_diverged_training_leaves_the_ranking_as_it_was(value, kinds):
    readings = draw_readings(56)
    fresh = readings[16:]

    def rank(some):
        surrogate = fit_surrogate(some, kinds=kinds, calibrate=False, iterations=10)
        values = [reading.value for reading in fresh]
        return spearmanr(surrogate.predict(fresh).mean, values).statistic, surrogate

    clean, _ = rank(readings[:16])
    poisoned, surrogate = rank(diverged(readings[:16], 3, value=value))
    assert poisoned > clean - 0.02
    assert surrogate.description.endswith(f", {value:.4g} left out, far above the rest")
    assert surrogate.ceiling < 2.5


def test_several_count_as_the_worst_of_the_rest():
    readings = draw_readings(30)
    worst = max(r.value for p, r in enumerate(readings) if p not in (3, 7))
    found = tame(diverged(readings, 3, 7))
    assert [r.value for r in found.readings][3::4][:2] == [worst, worst]
    assert found.ceiling == worst
    assert found.note == "2 values far above the rest count as the worst of it"


def test_an_update_tames_what_has_come_and_tells_it_once():
    readings = draw_readings(20)
    surrogate = fit_surrogate(
        diverged(readings[:16], 3), kinds=[Kind.MEAN], calibrate=False, iterations=5
    )
    renewed = update_surrogate(surrogate, diverged(readings, 3, 18))
    assert renewed.num_readings == 20
    assert renewed.description == ("law only, 2 values far above the rest count as the worst of it")


def test_nothing_is_far_in_what_networks_of_all_sizes_reach():
    rng = np.random.default_rng(0)
    readings = draw_readings(200, seed=1, noise=0.02)
    for _ in range(200):
        chosen = rng.choice(len(readings), rng.integers(3, 81), replace=False)
        some = [readings[place] for place in chosen]
        found = tame(some)
        assert found.readings is some
        assert (found.ceiling, found.note) == (math.inf, "")


def test_what_is_no_loss_is_left_alone():
    accuracies = [r._replace(value=-r.value) for r in draw_readings(16)]
    accuracies[3] = accuracies[3]._replace(value=-0.01)
    assert tame(accuracies).note == ""
    milliseconds = diverged(draw_readings(16), 3)
    surrogate = fit_surrogate(milliseconds, law=False, calibrate=False, iterations=5)
    assert surrogate.num_readings == 16
    assert surrogate.ceiling == math.inf


def test_little_text_makes_no_outlier_and_each_study_has_its_own_level():
    rungs = [
        Reading(r.features, r.value + 4.0 * (text == 1e6), text, trunk=place)
        for place, r in enumerate(draw_readings(24))
        for text in ((1e6, 1e7) if place < 3 else (1e7,))
    ]
    assert tame(rungs).note == ""
    earlier = [r._replace(value=r.value + 9.0, source="earlier.jsonl") for r in draw_readings(3)]
    assert tame([*earlier, *draw_readings(40)]).note == ""
    late = diverged(rungs, 20)
    assert tame(late).note == "8 left out, far above the rest"


def test_the_rungs_of_one_trunk_are_one_accident():
    readings = [
        r._replace(train_bytes=text, trunk=place)
        for place, r in enumerate(draw_readings(16))
        for text in (1e6, 1e7)
    ]
    found = tame(diverged(readings, 8, 9))
    assert len(found.readings) == 30
    assert {r.trunk for r in readings} - {r.trunk for r in found.readings} == {4}


def test_without_sizes_values_are_lowered_as_readings_are():
    rng = np.random.default_rng(4)
    for far in ((), (9.0,), (9.0, 30.0), (1e6,)):
        values = np.array([*rng.uniform(1.2, 2.0, 15), *far])
        expected = np.minimum(values, tame([Reading({}, float(v)) for v in values]).ceiling)
        assert below_ceiling(values).tolist() == expected.tolist()
        assert below_ceiling(values).max() < 2.0 or far == ()
    negated = np.array([-0.9, -0.5, 40.0])
    assert below_ceiling(negated).tolist() == negated.tolist()

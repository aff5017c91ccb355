"""A stack of processes: its weights, and that it is the mixture's mean and covariance."""

import numpy as np
import pytest
from helpers_surrogate import draw_readings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from archsmith.surrogate.kinds import weigh_kinds
from archsmith.surrogate.process import Kind
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.stack import Stack, mixture_weights


def wave(features):
    return 0.08 * np.sin(4 * features["wave"])


def new(points):
    return range(-len(points), 0)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)),
              elements=st.floats(-50, 50)))  # fmt: skip
def test_weights_are_a_mixtures_and_nothing_weighs_nothing(log_densities):
    weights = mixture_weights(log_densities)
    count, kinds = log_densities.shape
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 1 / (count + kinds) - 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_weights_make_readings_and_what_was_known_beforehand_likelier(seed):
    rng = np.random.default_rng(seed)
    log_densities = rng.normal(0, 2, size=(12, 3))
    densities = np.exp(log_densities)

    def score(weights):
        return np.log(densities @ weights).sum() + np.log(weights).sum()

    best = score(mixture_weights(log_densities))
    for other in rng.dirichlet(np.ones(3), size=50):
        assert score(other) <= best + 1e-4


def test_many_readings_settle_who_is_right_and_few_do_not():
    def weight(count):
        return mixture_weights(np.tile([0.0, -1.0], (count, 1)))[0]

    assert 0.5 < weight(2) < 0.8
    assert weight(500) > 0.99


def test_a_stack_has_the_mean_and_covariance_of_its_draws():
    readings = draw_readings(30, extra=wave)
    found = weigh_kinds(readings[:20], iterations=10).stack
    assert len(found.parts) > 1
    points = readings[20:26]
    together = found.posterior(points, trunks=new(points))
    rng = np.random.default_rng(0)
    draws = []
    for weight, fitted in found.parts:
        alone = Stack((found.parts[0]._replace(weight=1.0, fitted=fitted),))
        own = alone.posterior(points, trunks=new(points))
        # in the values' own unit, then in the stack's
        mean = (own.mean * alone.scale + alone.offset - found.offset) / found.scale
        covariance = own.covariance * (alone.scale / found.scale) ** 2
        draws.append(
            rng.multivariate_normal(mean, covariance, size=round(weight * 200_000), method="eigh")
        )
    drawn = np.concatenate(draws)
    assert together.mean == pytest.approx(drawn.mean(axis=0), abs=0.02)
    spread = np.sqrt(np.diag(together.covariance))
    assert together.covariance / np.outer(spread, spread) == pytest.approx(
        np.cov(drawn.T) / np.outer(spread, spread), abs=0.03
    )


def test_covariances_with_others_are_a_part_of_all():
    readings = draw_readings(24, extra=wave)
    found = weigh_kinds(readings[:16], iterations=5).stack
    points = readings[16:]
    whole = found.posterior(points, trunks=new(points))
    some = found.posterior(points, trunks=new(points), others=5)
    assert some.mean == pytest.approx(whole.mean)
    assert some.covariance == pytest.approx(whole.covariance[:, 5:])
    variance = found.predict(points, trunks=new(points))[1] - found.noise
    assert some.variance == pytest.approx(variance, rel=1e-6, abs=1e-9)
    assert variance == pytest.approx(np.diag(whole.covariance), rel=1e-6, abs=1e-9)


def test_kinds_that_disagree_are_less_sure_together():
    rng = np.random.default_rng(3)
    readings = [
        reading._replace(value=reading.value + 0.2 * rng.standard_normal())
        for reading in draw_readings(8)
    ]
    found = weigh_kinds(readings, iterations=10).stack
    far = [Reading({**readings[0].features, "log_num_non_embedding_params": 25.0}, 0.0)]
    variances = []
    for part in found.parts:
        alone = Stack((part._replace(weight=1.0),))
        variances.append(alone.predict(far, trunks=[-1])[1][0] * alone.scale**2 * part.weight)
    assert found.predict(far, trunks=[-1])[1][0] * found.scale**2 > sum(variances)


def test_one_kind_is_itself():
    readings = draw_readings(14, extra=wave)
    found = weigh_kinds(readings, kinds=(Kind.BOTH,), iterations=5).stack
    (part,) = found.parts
    assert part.weight == 1.0
    assert (found.offset, found.scale) == (part.fitted.schema.offset, part.fitted.schema.scale)
    assert found.left_out[0] == pytest.approx(part.fitted.left_out[0])

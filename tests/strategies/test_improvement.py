"""The noisy improvement in closed form is what many draws average to, however small it is."""

import math

import numpy as np
import pytest

from archsmith.strategies._improvement import Moments, log_improvement


@pytest.fixture(scope="module")
def normal():
    """Six correlated values: four points, and two others."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    return rng.normal(size=6), root @ root.T


def moments(mean, covariance, count=4):
    return Moments(
        mean[:count],
        np.diag(covariance)[:count],
        covariance[:count, count:],
        mean[count:],
        covariance[count:, count:],
    )


def test_it_is_the_mean_over_draws(normal):
    mean, covariance = normal
    draws = np.random.default_rng(1).multivariate_normal(mean, covariance, size=200_000)
    lowest = draws[:, 4:].min(axis=1)
    wanted = [np.maximum(lowest - draws[:, place], 0).mean() for place in range(4)]
    found = [
        np.exp(log_improvement(moments(mean, covariance), np.random.default_rng(seed)))
        for seed in range(200)
    ]
    assert np.mean(found, axis=0) == pytest.approx(wanted, rel=0.05)


def test_hopeless_points_are_still_told_apart():
    mean = np.array([40.0, 400.0, 4e4, 4e6, 0.0])
    covariance = np.eye(5)
    found = log_improvement(moments(mean, covariance), np.random.default_rng(0))
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    # far out it is the normal density's exponent, but for a logarithm and where the draws lie
    assert found[2] == pytest.approx(-0.5 * 4e4**2, rel=0.01)


def test_what_a_pending_twin_is_expected_to_bring_is_not_expected_again():
    # two points like one another, one of them pending; a third one apart
    covariance = np.array([[1, 0, 0.999, 0], [0, 1, 0, 0], [0.999, 0, 1, 0], [0, 0, 0, 1e-6]])
    mean = np.array([-0.2, -0.1, -0.2, 0.0])
    alone = Moments(mean[:2], np.ones(2), covariance[:2, 3:], mean[3:], covariance[3:, 3:])
    beside = moments(mean, covariance, count=2)
    first = log_improvement(alone, np.random.default_rng(0))
    second = log_improvement(beside, np.random.default_rng(0))
    assert first[0] > first[1]
    assert second[0] < second[1]
    assert second[0] < first[0] - math.log(2)

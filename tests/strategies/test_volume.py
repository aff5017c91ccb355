"""What points add to a front's hypervolume: as BoTorch has it, exact, and without ties at zero."""

import time

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
from botorch.models.deterministic import GenericDeterministicModel
from botorch.sampling.index_sampler import IndexSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)

from archsmith.strategies import _guide
from archsmith.strategies._volume import log_volume_improvement

NO_LIMIT = np.empty((1, 1, 0))


def sphere(count: int, objectives: int, seed: int = 0) -> np.ndarray:
    """Points of which none dominates another."""
    values = np.abs(np.random.default_rng(seed).normal(size=(count, objectives)))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def one(point: list[float], front: np.ndarray, breach: np.ndarray = NO_LIMIT) -> float:
    draws = np.array([[point]])
    return float(log_volume_improvement(draws, front, np.full(len(point), 1.1), breach)[0])


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_it_is_what_boxes_give(objectives: int) -> None:
    front = sphere(12, objectives)
    points = np.random.default_rng(1).uniform(0.1, 0.9, (30, objectives))
    _guide._leave_uncompiled()
    model = GenericDeterministicModel(lambda X: -X, num_outputs=objectives)
    boxes = qLogExpectedHypervolumeImprovement(
        model,
        [-1.1] * objectives,
        FastNondominatedPartitioning(
            ref_point=torch.full((objectives,), -1.1).double(), Y=-torch.from_numpy(front)
        ),
        sampler=IndexSampler(torch.Size([1])),
        fat=False,
    )
    expected = boxes(torch.from_numpy(points).unsqueeze(1)).exp().numpy()
    found = np.exp(log_volume_improvement(points[None], front, np.full(objectives, 1.1), NO_LIMIT))
    assert 0 < (expected > 1e-3).sum() < 30
    assert found == pytest.approx(expected, abs=0.02 * expected.max())


def test_draws_are_averaged() -> None:
    front = np.array([[0.6, 0.6, 0.6]])
    points = [[0.1, 0.5, 0.5], [0.5, 0.5, 0.9]]
    both = log_volume_improvement(
        np.array([[point] for point in points]), front, np.full(3, 1.1), NO_LIMIT
    )
    mean = np.mean([np.exp(one(point, front)) for point in points])
    assert np.exp(both[0]) == pytest.approx(mean)
    assert np.exp(one(points[0], front)) == pytest.approx(1.0 * 0.6 * 0.6 - 0.5**3)


def test_an_empty_front_leaves_the_whole_box() -> None:
    assert np.exp(one([0.1, 0.6, 0.1], np.empty((0, 3)))) == pytest.approx(1.0 * 0.5 * 1.0)


def test_what_gains_nothing_is_told_apart_by_what_it_lacks() -> None:
    front = np.array([[0.5, 0.5, 0.5], [0.1, 0.9, 0.5]])
    order = [[0.4, 0.5, 0.5], [0.5, 0.5, 0.6], [0.6, 0.6, 0.6], [0.7, 0.7, 0.7], [0.3, 0.4, 2.9]]
    found = [one(point, front) for point in order]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)
    assert np.isfinite(found).all()


def test_what_breaks_a_limit_gains_the_less_the_more_it_breaks_it() -> None:
    front = sphere(8, 3)
    free, *limited = (
        one([0.1, 0.1, 0.1], front, np.array([[breach]]))
        for breach in ([], [-1.0], [0.001], [0.5], [2.0])
    )
    assert limited[0] == pytest.approx(free)
    assert limited == sorted(limited, reverse=True)
    assert limited[2] < one([0.7, 0.7, 0.7], front)


@pytest.mark.parametrize(("objectives", "size"), _guide._FRONTS.items())
def test_a_large_front_takes_a_fraction_of_a_second(objectives: int, size: int) -> None:
    draws = np.random.default_rng(0).uniform(0.2, 0.7, (32, 256, objectives))
    start = time.process_time()
    log_volume_improvement(draws, sphere(size, objectives), np.full(objectives, 1.1), NO_LIMIT)
    assert time.process_time() - start < 3  # 0.2 to 0.9: with boxes of four objectives, minutes

import math
from typing import NamedTuple

import numpy as np
import pytest

from archsmith.data.intervals import paired_interval, score_interval
from archsmith.errors import ConfigError


class Arm(NamedTuple):
    block_nats: tuple[float, ...]
    block_bytes: tuple[int, ...]


def arm(nats: np.ndarray) -> Arm:
    return Arm(tuple(nats.tolist()), (4096,) * (len(nats) - 1) + (1000,))


def test_the_interval_agrees_with_the_normal_one() -> None:
    nats = np.random.default_rng(0).normal(4000.0, 300.0, 400)
    found = score_interval(Arm(tuple(nats.tolist()), (4096,) * 400))
    unit = 4096 * math.log(2)
    assert found.value == pytest.approx(nats.mean() / unit)
    half = 1.96 * nats.std() / math.sqrt(400) / unit
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)


def test_pairing_sees_a_difference_far_below_the_spread() -> None:
    rng = np.random.default_rng(1)
    nats = rng.normal(4000.0, 500.0, 100)
    better = nats - 10 + rng.normal(0.0, 5.0, 100)
    found = paired_interval(arm(better), arm(nats))
    assert found.low < found.value < found.high < 0
    alone = score_interval(arm(nats))
    assert alone.high - alone.low > 20 * (found.high - found.low)
    assert paired_interval(arm(nats), arm(better)).value == pytest.approx(-found.value)


def test_about_19_of_20_intervals_hold_the_truth() -> None:
    held = 0
    for seed in range(120):
        nats = np.random.default_rng(seed).gamma(9.0, 300.0, 60)
        found = score_interval(Arm(tuple(nats.tolist()), (1024,) * 60), resamples=300)
        held += found.low <= 2700.0 / 1024 / math.log(2) <= found.high
    assert held / 120 > 0.87


def test_it_repeats_with_the_seed() -> None:
    nats = np.random.default_rng(2).gamma(2.0, 100.0, 30)
    assert score_interval(arm(nats), seed=5) == score_interval(arm(nats), seed=5)
    assert score_interval(arm(nats), seed=5) != score_interval(arm(nats), seed=6)
    wide = score_interval(arm(nats), confidence=0.99)
    narrow = score_interval(arm(nats), confidence=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_equal_scores_and_single_blocks() -> None:
    scores = arm(np.array([3.0, 5.0, 9.0]))
    assert paired_interval(scores, scores) == (0.0, 0.0, 0.0)
    assert score_interval(Arm((5.0,), (10,)))[1:] == (-math.inf, math.inf)


def test_scores_of_different_text_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 blocks with 10 bytes against 2 with 20"):
        paired_interval(Arm((5.0,), (10,)), Arm((5.0, 1.0), (10, 10)))

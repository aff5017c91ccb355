"""Points within limits: found under tight ones, and an error that helps where there is none."""

import random
import time

import pytest

from archsmith.cost.base import CostContext, static_metrics
from archsmith.errors import InfeasibleError
from archsmith.space import presets
from archsmith.space.feasible import explain_infeasible, nearest_feasible, sample_feasible
from archsmith.trial import Limit, Problem

PORTABLE = presets.portable()


def problem(*limits, space=PORTABLE):
    context = CostContext(tokenizer_bytes=lambda vocab_size: 30 * vocab_size)
    return Problem(
        space=space,
        objectives=("bits_per_byte",),
        limits=[Limit.parse(text) for text in limits],
        static_metrics=lambda point: static_metrics(point, context),
    )


@pytest.mark.parametrize(
    "limits",
    [
        ["file_bytes <= 1MiB"],
        ["file_bytes <= 300KiB", "context_length >= 700"],
        ["file_bytes <= 16MiB", "peak_memory_bytes <= 32MiB", "num_params >= 10M"],
        ["cache_bytes <= 400KiB", "num_non_embedding_params >= 3M"],
    ],
)
def test_points_are_found_under_tight_limits(limits):
    tight = problem(*limits)
    points = [sample_feasible(tight, random.Random(seed)) for seed in range(8)]
    assert all(tight.feasible(point) and PORTABLE.contains(point) for point in points)
    assert len(set(points)) >= 6


def test_the_same_generator_gives_the_same_point():
    tight = problem("file_bytes <= 2MiB")
    assert sample_feasible(tight, random.Random(5)) == sample_feasible(tight, random.Random(5))


def test_without_limits_the_first_sample_is_taken():
    assert sample_feasible(problem(), random.Random(1)) == PORTABLE.sample(random.Random(1))


def test_nothing_feasible_names_the_limit_that_binds_and_the_nearest():
    impossible = problem("file_bytes <= 10KiB", "num_params <= 100M")
    with pytest.raises(InfeasibleError) as caught:
        sample_feasible(impossible, random.Random(0))
    message = str(caught.value)
    assert "the limit 'file_bytes <= 10.0 KiB'" in message
    assert "file_bytes = " in message
    assert "1x64" in message  # the smallest network of the space is the nearest
    assert "num_params" not in message
    assert caught.value.exit_code == 3


def test_limits_that_exclude_each_other_are_both_named():
    message = str(
        explain_infeasible(problem("num_params <= 1M", "num_params >= 50M"), random.Random(0))
    )
    assert "num_params" in message


def test_a_point_outside_is_brought_inside():
    tight = problem("file_bytes <= 4MiB")
    rng = random.Random(0)
    outside = next(p for p in iter(lambda: PORTABLE.sample(rng), None) if not tight.feasible(p))
    inside = nearest_feasible(tight, outside, rng)
    assert inside is not None
    assert tight.feasible(inside)


def test_a_tight_limit_costs_tens_of_milliseconds():
    tight = problem("file_bytes <= 1MiB")
    sample_feasible(tight, random.Random(0))
    start = time.process_time()
    for seed in range(1, 6):
        sample_feasible(tight, random.Random(seed))
    assert (time.process_time() - start) / 5 < 1.0  # typically 0.05

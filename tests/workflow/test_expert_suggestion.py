"""What is suggested in spaces with experts: a member, hand-drawn shapes beside it, honest words."""

import pytest
from rich.console import Console

from archsmith.space import presets
from archsmith.trial import Limit, Problem
from archsmith.workflow.suggestion import Speed, hand_drawn, suggest
from archsmith.workflow.tables import suggestion_view


def problem(preset, *limits):
    return Problem(
        space=presets.tiny(preset=preset, num_experts=(2, 4), num_experts_per_tok=(1, 2)),
        objectives=("bits_per_byte",),
        limits=[Limit.parse(limit) for limit in limits],
        static_metrics=lambda point: {
            "num_params": float(point.num_params),
            "num_active_params": float(point.num_active_params),
        },
    )


@pytest.mark.parametrize("preset", ["moe", "mixed"])
def test_a_suggestion_meets_the_limits_and_says_what_it_does_not_know(preset):
    asked = problem(preset, "num_params <= 500K")
    found = suggest(
        asked,
        bytes_per_token={257: 1.5, 512: 2.0},
        corpus_bits_per_byte=2.0,
        speed=Speed(flops_per_second=1e9, num_threads=1),
        corpus_train_bytes=10_000_000,
        train_bytes=1_000_000,
    )
    assert asked.space.contains(found.architecture)
    assert asked.feasible(found.architecture)
    widths = {
        row.architecture.num_active_params < row.architecture.num_params: (
            row.bits_per_byte_high / row.bits_per_byte_low
        )
        for row in found.rows
    }
    if False in widths and True in widths:
        assert widths[True] > widths[False]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(suggestion_view(found))
    assert ("experts: the prior knows dense networks only" in captured.get()) == (True in widths)
    assert preset == "mixed" or set(widths) == {True}


def test_shapes_are_drawn_in_both_kinds_of_space():
    assert set(hand_drawn(problem("moe"))) >= {"Llama shape", "parameter maximizer"}
    drawn = hand_drawn(problem("mixed"))
    assert all(point.num_active_params == point.num_params for point in drawn.values())

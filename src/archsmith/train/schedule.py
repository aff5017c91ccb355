"""The learning rate over time: warm-up, constant, cooldown (Hägele et al. 2024, arXiv 2405.18392).

A trunk stays at the constant rate, so it can be stopped, scored, extended and cooled down anywhere
without having known its length; its rank predicts the cooled-down rank.
"""

import math
from typing import Literal


def warmup_factor(step: int, *, warmup_steps: int) -> float:
    """Share of the full rate at a trunk's update `step` (from 0)."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cooldown_factor(done: int, *, num_steps: int, shape: Literal["1-sqrt", "linear"]) -> float:
    """Share of the full rate at a cooldown's update `done` (from 0) of `num_steps`."""
    progress = (done + 1) / (num_steps + 1)  # the last update still moves
    return 1.0 - (math.sqrt(progress) if shape == "1-sqrt" else progress)

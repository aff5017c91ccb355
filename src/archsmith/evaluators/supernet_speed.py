"""How long an update of shared weights takes on this machine: a few real ones, timed."""

import time
from collections.abc import Callable
from typing import NamedTuple

from archsmith.evaluators.supernet import SharedWeightScoring

_LEAST_UPDATES, _LEAST_SECONDS = 12, 2.0


class Pace(NamedTuple):
    """What an update takes, its policy's part included, and the text it reads."""

    update_seconds: float
    update_bytes: float

    def train_bytes(self, seconds: float) -> int:
        """Text that shared weights can be trained on in so many seconds; at least one update's."""
        updates = max(int(seconds / self.update_seconds), 1)
        return int(updates * self.update_bytes)


def measure_pace(
    settings: SharedWeightScoring,
    *,
    seed: int = 0,
    num_threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Train for about two seconds in this process, and throw that away.

    The first update is left out: it warms up kernels and the allocator. Policies learn from the
    first update on, as they do for most of a training; `enas` for one whole turn at least.

    Raises:
        ConfigError, InfeasibleError: these networks cannot share weights, or not by this method.
    """
    supernet = settings.begin(seed=seed, num_threads=num_threads)
    plan = settings.plan
    turn = plan.shared_steps if plan.method == "enas" else 1
    update = supernet.method.update
    update(0, 0.0, warm=False)
    # whole turns from here on: the policy learns at the end of each
    number = turn
    started = clock()
    while number - turn < _LEAST_UPDATES or clock() - started < _LEAST_SECONDS or number % turn:
        update(number, 0.0, warm=True)
        number += 1
    elapsed = clock() - started
    return Pace(elapsed / (number - turn), supernet.method.parts.order.batch_bytes)

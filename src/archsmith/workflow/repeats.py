"""Finalists trained again: which, with what seeds and rates, in what room, and what it decides.

Two trainings that differ in their seed alone lie as far apart as two good shapes do, and one shared
learning rate fits one shape better than the next. So the finalists that cannot be told apart are
trained again: with fresh seeds, whose mean decides between them, and with other rates, which the
final training takes over where they are better by more than seeds differ.

Other rates are tried with the search's own seed: the same first weights, the same text in the same
order. What a rate gains is then read from a pair, and the fresh seeds, all at the recipe's rates,
say how much such a pair differs by chance.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from archsmith.data.noise import USUAL_DEGREES, USUAL_NOISE
from archsmith.workflow.selection import Finalist

# The best rate falls with the length of the run, about as its cube root: of the embeddings from 8
# to 16 times a base after 150 updates to 4 to 8 after 1,000 (docs/explanation/recipe.md); in large
# models with the power 0.32 of the tokens (Bjorck et al. 2024, arXiv 2409.19913).
_LENGTH_EXPONENT = 1 / 3


class Training(NamedTuple):
    """A finalist to be trained with a seed, and both rates times a factor."""

    trial: int
    seed: int
    rate_factor: float = 1.0


class Candidate(NamedTuple):
    """A finalist that may be trained again: its trial, seconds of one training, and the share of
    the final training that its last rung is."""

    trial: int
    seconds: float
    share: float


def contenders(finalists: Sequence[Finalist]) -> list[Finalist]:
    """The first two, best first, and whoever cannot be told from the first.

    That is: as good on the user's tasks, and within both half-widths of its predicted score and
    what two seeds may differ by.
    """
    chance = 2 * math.sqrt(2) * USUAL_NOISE
    first = finalists[0]
    return [
        one
        for place, one in enumerate(finalists)
        if place < 2
        or (
            one.rank[0] == first.rank[0]
            and one.predicted_bits_per_byte - first.predicted_bits_per_byte
            <= one.half_width + first.half_width + chance
        )
    ]


def plan_trainings(
    candidates: Sequence[Candidate],
    *,
    seed: int,
    fresh_seeds: int,
    rate_factors: Sequence[float],
    num_slots: int,
    room_seconds: float | None,
) -> list[Training]:
    """What is trained again, in the order in which it is taken up, as far as it fits.

    Fresh seeds go first, one for each candidate before the second for any: with a fresh seed for
    one alone nothing could be compared, and without one for the best the others' would count
    against it. Then the rates, the best candidate's first.

    Args:
        candidates: best first.
        seed: of the search.
        num_slots: trainings side by side.
        room_seconds: until the last of them must have ended; None for as long as it takes.
    """
    free = [0.0] * num_slots
    planned: list[Training] = []

    def add(training: Training, seconds: float) -> bool:
        """Whether it fits; whichever slot is free first takes it."""
        end = free[0] + seconds
        if room_seconds is not None and end > room_seconds:
            return False
        heapq.heapreplace(free, end)
        planned.append(training)
        return True

    for fresh in range(1, fresh_seeds + 1 if len(candidates) > 1 else 1):
        before = list(free), list(planned)
        added = [add(Training(one.trial, seed + fresh), one.seconds) for one in candidates]
        if not added[0] or sum(added) < 2:
            free, planned = before
            break
    for one in candidates:
        for factor in rate_factors:
            if may_pay(factor, one.share):
                add(Training(one.trial, seed, factor), one.seconds)
    return planned


def may_pay(rate_factor: float, share: float) -> bool:
    """Whether rates that prove better at the rung can be better in the final training.

    `share` of that is the rung. What a longer run wants is lower, so that a raised rate counts only
    where it is still raised when it is carried over.
    """
    return rate_factor < 1.0 or rate_factor * share**_LENGTH_EXPONENT >= 1.0


def seed_noise(finalists: Sequence[Finalist]) -> float:
    """One training's standard deviation over seeds, in bits per byte: from the finalists that have
    several at the recipe's rates, together with what is usual."""
    squares, degrees = USUAL_NOISE**2 * USUAL_DEGREES, USUAL_DEGREES
    for one in finalists:
        scores = one.seed_scores
        squares += sum((score - fmean(scores)) ** 2 for score in scores)
        degrees += max(len(scores) - 1, 0)
    return math.sqrt(squares / degrees)


def weigh(finalist: Finalist, *, noise: float) -> Finalist:
    """The finalist as its trainings together have it.

    Its score is the mean over seeds at the recipe's rates. Where other rates are better than those
    by more than two trainings differ by chance, with the same seed, they are what the final
    training has, and the score is better by as much.
    """
    own, *others = finalist.runs
    assert own.selection_bits_per_byte is not None
    tried = [
        (run.selection_bits_per_byte, run)
        for run in others
        if run.rate_factor != 1.0
        and run.selection_bits_per_byte is not None
        and sum(run.task_errors.values()) <= sum(own.task_errors.values())
    ]
    gain, factor = 0.0, 1.0
    errors: Mapping[str, float] = _mean_errors(
        [r.task_errors for r in finalist.runs if r.rate_factor == 1.0 and r.done]
    )
    if tried:
        best, run = min(tried, key=lambda pair: pair[0])
        if own.selection_bits_per_byte - best > math.sqrt(2) * noise:
            gain, factor = own.selection_bits_per_byte - best, run.rate_factor
            errors = run.task_errors
    score = fmean(finalist.seed_scores) - gain
    return finalist.model_copy(
        update={
            "selection_bits_per_byte": score,
            "predicted_bits_per_byte": finalist.predicted_bits_per_byte
            + score
            - finalist.selection_bits_per_byte,
            "rate_factor": factor,
            "task_errors": errors,
        }
    )


def _mean_errors(errors: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each task's error rates."""
    names = errors[0] if errors else {}
    return {name: fmean(one[name] for one in errors) for name in names}

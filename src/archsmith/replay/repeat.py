"""One search on a table: propose, look up, remember; nothing is trained."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from archsmith.replay.table import Table
from archsmith.strategies.base import Strategy
from archsmith.strategies.random import Random
from archsmith.trial import Observation, Problem, Proposal, TrialState

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class RecordedEvaluator:
    """Answers from a table at once, as a training with one seed would have.

    Attributes:
        table: the recorded table.
        seed: which training seed it shows.
    """

    table: Table
    seed: int

    def observe(self, number: int, proposal: Proposal) -> Observation:
        """The trial of a proposal: complete with its metrics, or failed as it was recorded."""
        point = proposal.architecture
        values = self.table.shown[self.seed, point.number]
        failed = not np.isfinite(values).all()
        metrics = self.table.static_metrics(point)
        if not failed:
            metrics |= dict(zip(self.table.objectives, values.tolist(), strict=True))
        # what comes from a loaded table needs no second validation
        return Observation.model_construct(
            number=number,
            architecture=point,
            state=TrialState.FAILED if failed else TrialState.COMPLETE,
            metrics=metrics,
            rung=-1 if failed else 0,
            strategy=proposal.strategy,
            parents=proposal.parents,
            reason="the table has no number for it" if failed else "",
        )


def table_problem(table: Table, *, seed: int) -> Problem:
    """The problem of one repeat."""
    return Problem(
        space=table.space,
        objectives=table.objectives,
        limits=table.limits,
        static_metrics=table.static_metrics,
        seed=seed,
    )


class Searched(NamedTuple):
    """What a strategy had trained and why, in order; both [n_trials].

    Attributes:
        rows: of the table.
        notes: the strategy's own on each proposal, numbers left out; empty where it has none.
    """

    rows: list[int]
    notes: list[str]


def search_table(table: Table, strategy: Strategy, *, n_trials: int, seed: int) -> Searched:
    """One search.

    The repeat's seed decides what the strategy draws, and which training seed it sees where the
    table's description says `seen_seed = "drawn"`.
    """
    problem = table_problem(table, seed=seed)
    evaluator = RecordedEvaluator(table, table.shown_seed(seed))
    history: list[Observation] = []
    notes = []
    for number in range(n_trials):
        proposal = strategy.propose(problem, tuple(history), problem.rng(number))
        history.append(evaluator.observe(number, proposal))
        notes.append(_NUMBER.sub("#", proposal.note))
    return Searched([observation.architecture.number for observation in history], notes)


def is_random_search(table: Table, rows: Sequence[int], *, seed: int) -> bool:
    """Whether random search with the same seed would have had the same rows trained, in order."""
    problem, strategy = table_problem(table, seed=seed), Random()
    evaluator = RecordedEvaluator(table, table.shown_seed(seed))
    history: list[Observation] = []
    for number, row in enumerate(rows):
        proposal = strategy.propose(problem, tuple(history), problem.rng(number))
        if proposal.architecture.number != row:
            return False
        history.append(evaluator.observe(number, proposal))
    return True

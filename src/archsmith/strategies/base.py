"""What every strategy is: settings without state, and one function of (problem, history, rng)."""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from archsmith.config import Spec
from archsmith.halving.settings import Halving
from archsmith.trial import Observation, Problem, Proposal


class Strategy(Spec, ABC):
    """Proposes architectures. Frozen settings; everything it knows is the history.

    The same problem, history and generator state give the same proposal: a killed search, a
    second worker and a replay are one code path.

    Attributes:
        supernet_methods: the trainings of shared weights that it is meant for, the usual one
            first: a search file that names it has its candidates scored with inherited weights.
            Empty for strategies that take scores of any kind.
    """

    supernet_methods: ClassVar[tuple[str, ...]] = ()

    type: str

    @abstractmethod
    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        """A feasible point of the space, new where the space has new ones left.

        `history` is ordered by trial number and includes pending, failed and rejected trials.
        Raises InfeasibleError when no feasible point is found.
        """

    def halving(self) -> Halving | None:
        """How its trials climb the rungs, where that is a part of the strategy; None for the
        study's own ladder."""
        return None

    def check_files(self, root: Path) -> None:
        """Raise ConfigError where files that its settings name, from `root`, will not do.

        Asked before a search begins, which would otherwise end at the first proposal to read them.
        """

"""Law-guided search: a scaling law with a process about it says which of many mutants to try next.

First the problem's start points and a few feasible ones far from one another; then the noisy
expected improvement (one objective) or hypervolume improvement (several) in log form (Ament et al.
2023, arXiv 2310.20708; Daulton et al. 2021, arXiv 2105.08195), over a pool of mutants near the best
trials and samples from everywhere. Near is a trust region as in TuRBO (Eriksson et al. 2019, arXiv
1910.01465), counted in mutations; it shrinks while nothing improves.

Metrics that cost models know are exact; what is learned is modelled by `archsmith.surrogate`. What
was read of a trunk at its rungs and since then counts with the text it had read. A space whose
features hold no decoder has no law: its mean is linear in choices, options of choices that the
space groups are counted, all neighbours of the best trials join the pool, and where the surrogate
predicts trials left out no better than chance, local search or evolution goes on. What it was is in
each proposal's note.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from archsmith.errors import EvaluationError
from archsmith.strategies._drafts import Draft, Finished, finished, first_new
from archsmith.strategies._pool import by_merit, candidates, farthest
from archsmith.strategies._portfolio import is_chance, rival
from archsmith.strategies.base import Strategy
from archsmith.surrogate.earlier import read_earlier
from archsmith.surrogate.readings import has_law
from archsmith.trial import Observation, Problem, Proposal, TrialState

_START = 5  # trials before a law with a prior guides
_START_WITHOUT_LAW = 10


class LawGuided(Strategy):
    """Proposes what is expected to improve most on what is known.

    Attributes:
        num_start: trials before the surrogate is asked; 5 with a law, 10 without, if not told.
        pool_size: points the surrogate compares.
        max_fitted: trials a surrogate is fitted to; the best, the latest and some of the others.
        refit_share: the surrogate is fitted anew when the finished trials have grown by this share
            (at least by 4); in between it is conditioned on them as it is.
        iterations: of the search for its hyperparameters.
        earlier: files of earlier studies, see `archsmith.surrogate.earlier`; each file has an
            unknown shift against this study, so that it tells of differences, not of levels.
        surrogate: law, law with process and process, weighed by what they predict of trials left
            out; or always a process without a law, to compare with.
    """

    type: Literal["law_guided"] = "law_guided"
    num_start: PositiveInt | None = None
    pool_size: PositiveInt = 256
    max_fitted: int = Field(default=256, ge=8)
    refit_share: float = Field(default=0.25, gt=0.0)
    iterations: PositiveInt = 30
    earlier: tuple[str, ...] = ()
    surrogate: Literal["weighed", "process"] = "weighed"

    def propose(
        self, problem: Problem, history: Sequence[Observation], rng: random.Random
    ) -> Proposal:
        trials = finished(problem, history)
        given = self._handed_over(problem, history, trials, rng)
        if given is not None:
            return given

        def drafts() -> Iterator[Draft]:
            known = dict.fromkeys(observation.architecture for observation in history)
            if len(trials) < self._num_start(problem, trials):
                yield farthest(problem, list(known), rng)
            yield from self._guided(problem, history, trials, rng)

        return first_new(problem, history, rng, drafts, strategy=self.type)

    def check_files(self, root: Path) -> None:
        for path in self.earlier:
            read_earlier(root / path)

    def _handed_over(
        self,
        problem: Problem,
        history: Sequence[Observation],
        trials: Sequence[Finished],
        rng: random.Random,
    ) -> Proposal | None:
        """A rival's proposal, where there is no law and the surrogate predicts nothing."""
        if len(trials) < self._num_start(problem, trials) or self._has_law(problem, trials):
            return None
        try:
            from archsmith.strategies import _guide  # BoTorch: imported when it is used

            skill = _guide.skill(problem, history, trials, self)
        except EvaluationError:
            return None
        if not is_chance(skill, len(trials)):
            return None
        chosen = rival(history, trials, several=len(problem.objectives) > 1)
        note = (
            f"handed to {chosen.type}: the surrogate's rank correlation with trials left out, "
            f"{skill:.2f}, is no more than chance"
        )
        proposal = chosen.propose(problem, history, rng)
        if proposal.architecture in problem.start:
            return None  # those come first, whoever goes on after them
        notes = [note, proposal.note] if proposal.note else [note]
        return proposal.model_copy(update={"note": "; ".join(notes)})

    @staticmethod
    def _has_law(problem: Problem, trials: Sequence[Finished]) -> bool:
        return bool(trials) and has_law(tuple(problem.space.features(trials[0].point)))

    def _num_start(self, problem: Problem, trials: Sequence[Finished]) -> int:
        if self.num_start is not None:
            return self.num_start
        return _START if self._has_law(problem, trials) else _START_WITHOUT_LAW

    def _guided(
        self,
        problem: Problem,
        history: Sequence[Observation],
        trials: Sequence[Finished],
        rng: random.Random,
    ) -> Iterator[Draft]:
        if not trials:
            return
        pool = candidates(problem, history, trials, rng, self.pool_size)
        if not pool:
            return
        from archsmith.strategies import _guide  # BoTorch: imported when it is used

        pending = [
            observation.architecture
            for observation in history
            if observation.state is TrialState.PENDING
            and observation.values(problem.objectives) is None
        ]
        try:
            order, note = _guide.rank(
                problem,
                history,
                trials,
                [draft.point for draft in pool],
                pending=pending,
                seed=rng.getrandbits(31),
                settings=self,
            )
        except EvaluationError as error:
            reason = f"without a surrogate ({error})"
            yield from _unguided(problem, trials, pool, rng, reason=reason)
            return
        for index in order:
            yield pool[index]._replace(note=note)


def _unguided(
    problem: Problem,
    trials: Sequence[Finished],
    pool: Sequence[Draft],
    rng: random.Random,
    *,
    reason: str,
) -> Iterator[Draft]:
    """Evolution takes over: the pool's mutants of the best; else their neighbours, then samples.

    A pool that is all of a small space names no parents.
    """
    best = [trials[index] for index in by_merit(trials)[:3]]
    numbers = {trial.number for trial in best}
    children = [draft for draft in pool if numbers & set(draft.parents)]
    for draft in children:
        yield draft._replace(note=f"{reason}: a mutant of the best")
    if children:
        return
    left = {draft.point for draft in pool}
    for trial in best:
        near = [point for point in problem.space.neighbours(trial.point) if point in left]
        for point in rng.sample(near, len(near)):
            yield Draft(point, (trial.number,), f"{reason}: a neighbour of the best")
    for draft in rng.sample(pool, len(pool)):
        yield draft._replace(note=f"{reason}: a sample")


PART = LawGuided

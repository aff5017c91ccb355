"""The selection among the finalists of a study: cool them down, score them, train the best again.

All of it is ordinary jobs of the study and notes of what was decided, so that a selection that was
killed goes on where it was and comes to the same winner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.data.splits import Split
from archsmith.errors import EvaluationError
from archsmith.runtime import disk
from archsmith.runtime.search import broken_limits
from archsmith.store.records import JobKind, TrialRecord
from archsmith.units import format_seconds
from archsmith.workflow.finalist_choice import choose_finalists, fit_cooldowns
from archsmith.workflow.finalist_front import front_among
from archsmith.workflow.finalist_jobs import FinalistJobs, room_left, seconds_taken
from archsmith.workflow.foresight import Foresight, Gain, Horizon, law_gain, readings
from archsmith.workflow.planning import REPEATS_SHARE, cools_finalists, may_repeat
from archsmith.workflow.repeats import (
    Candidate,
    Training,
    contenders,
    plan_trainings,
    seed_noise,
    weigh,
)
from archsmith.workflow.searching import SPENT
from archsmith.workflow.selection import (
    Finalist,
    ranked,
    select,
    trunk_of,
)
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion

# Of a training again, or a cooldown: over what its trunk took before, for scoring and a busier
# machine; and for the start of its process.
_ALLOWANCE, _START_SECONDS = 1.15, 5.0
_PLAN = "repeats"


@dataclass(frozen=True, kw_only=True)
class Selecting:
    """What a selection needs to know.

    Attributes:
        jobs: runs and scores what finalists go through.
        horizon: the final training.
        suggestion: what the search began with; it knows how hard the text is.
        budget: seconds per phase; None without a timeout.
    """

    jobs: FinalistJobs
    horizon: Horizon
    suggestion: Callable[[], Suggestion]
    budget: Budget | None
    notes: StudyNotes

    def finalists(self) -> list[Finalist]:
        """The finalists, the winner first; noted, with what the selection took.

        Raises:
            EvaluationError: nothing that meets the limits was trained, or every cooldown failed.
            SearchInterrupted: stopped; the same call goes on.
        """
        clock, study = self.jobs.clock, self.jobs.study
        started = clock()
        trials = study.trials
        chosen = self._choose(trials)
        if not chosen:
            raise EvaluationError(
                "no candidate that meets the limits finished its first rung; give the search more "
                "time, or see 'archsmith status' for what failed or broke a limit"
            )
        weights: dict[int, Path] = {}
        if cools_finalists(self.budget):
            chosen = self._in_time(chosen)
            weights = self.jobs.cool_down(chosen)
            chosen = [trial for trial in chosen if trial.number in weights]

        def weights_of(trial: TrialRecord) -> tuple[Path, bool]:
            if trial.number in weights:
                return weights[trial.number], True
            return study.checkpoint_root / trunk_of(trial).checkpoint_out, False

        found = select(
            chosen,
            weights_of=weights_of,
            foresight=self._foresight(trials),
            score=self.jobs.score,
        )
        plan = self._plan(found, chosen, taken=clock() - started)
        if plan:
            found = self._train_again(plan, found, chosen)
        self.notes.put("finalists", [one.model_dump(mode="json") for one in found])
        # the final training goes on from one trunk at most; the others have told what they know
        winner = found[0].trunk
        keep = [] if winner is None else [winner.checkpoint]
        disk.delete_repeats(study.store, study.study_name, keep=keep)
        self.notes.spend("select", max(clock() - started - self.jobs.seconds_in_jobs, 0.0))
        return found

    def has_enough(self) -> bool:
        """Whether more candidates were trained than can be finalists, and the best of them are
        small enough to be trained again in the time that is set aside for that."""
        if self.notes.get(_PLAN):
            return True  # decided before
        trials = self.jobs.study.trials
        enough = self.jobs.workspace.config.plan.finalists + 1
        if self.budget is None or sum(trial.rung >= 0 for trial in trials) < enough:
            return False
        # the suggestion, which is always a finalist, may be far behind
        best = self._choose(trials)[:2]
        room = REPEATS_SHARE * self.budget.search_seconds
        return len(best) > 1 and len(self._trainings(best, room)) > 1

    def _choose(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """A trial whose checkpoint the disk budget took can no longer be finished."""
        kept = [one for one in trials if one.rung < 0 or trunk_of(one).checkpoint_out]
        count = self.jobs.workspace.config.plan.finalists
        problem = self.jobs.study.problem
        return choose_finalists(
            kept,
            count=count,
            foresight=self._foresight(trials),
            objectives=problem.objectives,
            is_feasible=lambda trial: not broken_limits(problem.limits, trial.metrics),
        )

    @property
    def _has_front(self) -> bool:
        """Whether several objectives are in question; a task's stand-in is the loss itself."""
        return len(self.jobs.study.problem.objectives) > 1

    def _in_time(self, chosen: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Of a front as many as can be cooled down in what is left of the search's time."""
        if self.budget is None or not self._has_front:
            return list(chosen)
        room = self.budget.search_seconds - float(self.notes.get(SPENT) or 0.0)
        kept = fit_cooldowns(
            chosen,
            seconds_of=lambda trial: self._seconds(trial, self.jobs.recipe.cooldown_fraction),
            room_seconds=room,
            num_slots=self.jobs.num_slots,
        )
        if len(kept) < len(chosen):
            left = format_seconds(max(room, 0.0))
            self.jobs.watcher.note(
                f"{len(kept)} of {len(chosen)} finalists can be cooled down in the {left} left"
            )
        return kept

    def _foresight(self, trials: Sequence[TrialRecord]) -> Foresight:
        @cache  # the suggestion is read where the law is asked, and once
        def law() -> Gain:
            return law_gain(
                corpus_bits_per_byte=self.suggestion().corpus_bits_per_byte,
                corpus_train_bytes=self.jobs.workspace.corpus.split_bytes(Split.TRAIN),
            )

        def gain(architecture: Architecture, now: float, then: float) -> float:
            return law()(architecture, now, then)

        return Foresight.of_trials(trials, self.horizon, gain)

    def _plan(
        self, found: Sequence[Finalist], chosen: Sequence[TrialRecord], *, taken: float
    ) -> list[Training]:
        """What is trained again, as noted by an earlier start or now; and why nothing is."""
        stored = self.notes.get(_PLAN)
        if stored:
            return [Training(**training) for training in stored["planned"]]
        plan, room, reason = self.jobs.workspace.config.plan, None, ""
        planned: list[Training] = []
        if self.budget is not None:
            # what an earlier start of this selection took is known by its jobs alone
            before = seconds_taken(
                self.jobs.study.trials, JobKind.EXTEND, num_slots=self.jobs.num_slots
            )
            spent = float(self.notes.get(SPENT) or 0.0) + max(taken, before)
            room = max(self.budget.search_seconds - spent, 0.0)
        if not may_repeat(plan, self.budget):
            asked = plan.fresh_seeds or plan.rate_factors
            reason = "the search is too short for it" if asked else "it was not asked for"
        else:
            trials = {trial.number: trial for trial in chosen}
            again = contenders(found)
            if self._has_front:
                objectives = self.jobs.workspace.config.objectives
                front = front_among(found, trials, objectives)
                again += [one for one in front if one not in again]
            planned = self._trainings([trials[one.trial] for one in again], room)
            if not planned:
                left = "" if room is None else f" in the {format_seconds(room)} left"
                reason = f"no training fits{left}"
        noted = [training._asdict() for training in planned]
        self.notes.put(_PLAN, {"planned": noted, "room_seconds": room, "reason": reason})
        return planned

    def _trainings(self, trials: Sequence[TrialRecord], room: float | None) -> list[Training]:
        """What of these, best first, would be trained again."""
        config = self.jobs.workspace.config
        length = 1.0 + self.jobs.recipe.cooldown_fraction
        candidates = []
        for trial in trials:
            seconds = self._seconds(trial, length)
            last = max(readings(trial, self.horizon))
            end = self.horizon.end(last)
            share = min(last.seconds / end, 1.0) if end else 1.0
            candidates.append(Candidate(trial.number, seconds, share))
        return plan_trainings(
            candidates,
            seed=config.seed,
            fresh_seeds=config.plan.fresh_seeds,
            rate_factors=config.plan.rate_factors,
            num_slots=self.jobs.num_slots,
            room_seconds=room,
        )

    def _seconds(self, trial: TrialRecord, part: float) -> float:
        """What a job takes that trains for a part of what the trial's trunk was trained for."""
        trained = trunk_of(trial).metrics.get("train_seconds", 0.0)
        return trained * part * _ALLOWANCE + _START_SECONDS

    def _train_again(
        self, plan: Sequence[Training], found: Sequence[Finalist], chosen: Sequence[TrialRecord]
    ) -> list[Finalist]:
        """The finalists in the order that all trainings together give them."""
        num_trials = len({one.trial for one in plan})
        self.jobs.watcher.note(
            f"{num_trials} finalists are trained again, with other seeds and learning rates: "
            f"{len(plan)} trainings"
        )
        trials = {trial.number: trial for trial in chosen}
        room = room_left(
            self.notes.get(_PLAN)["room_seconds"],
            self.jobs.study.trials,
            JobKind.REPEAT,
            num_slots=self.jobs.num_slots,
        )
        runs = self.jobs.train_again(plan, trials, timeout=room)
        trained = [
            one.model_copy(update={"runs": (*one.runs, *runs.get(one.trial, ()))}) for one in found
        ]
        noise = seed_noise(trained)
        self.notes.put(_PLAN, {**self.notes.get(_PLAN), "seed_noise": noise})
        return ranked([weigh(one, noise=noise) for one in trained])

"""The selection where scores are inherited: they rank, and the best are trained from scratch.

A short training of its own, of equal text for all, decides among the best where the search's time
has room for at least two of them; else the best inherited score wins. Which it was is noted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.errors import EvaluationError
from archsmith.store.records import JobKind, TrialRecord
from archsmith.trial import Rung, TrialState
from archsmith.units import format_seconds
from archsmith.workflow.finalist_choice import take_best
from archsmith.workflow.finalist_jobs import FinalistJobs, room_left
from archsmith.workflow.inheriting import NOTE
from archsmith.workflow.planning import plan_ladder
from archsmith.workflow.searching import SPENT
from archsmith.workflow.selection import Finalist, FinalistRun, ranked, trunk_of
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.throughput import training_tokens_per_second

_FINALISTS = "finalists"
# Of a training: over its measured speed, for scoring and a busier machine; and for its start.
_ALLOWANCE, _START_SECONDS = 1.35, 3.0
_MEASURE_SECONDS = 0.7
_LEAST_SCORED = 12
_TOLD = ("step", "train_bytes", "train_seconds", "flops", "num_members", "largest")


@dataclass(frozen=True, kw_only=True)
class InheritedSelecting:
    """What such a selection needs to know.

    Attributes:
        jobs: runs and scores what finalists go through.
        rungs: the plan's; finalists are trained to the first at least, to the last at most.
        seconds_for: expected seconds of training a network on so many bytes of text.
        budget: seconds per phase; None without a timeout.
    """

    jobs: FinalistJobs
    rungs: Sequence[Rung]
    seconds_for: Callable[[Architecture, int], float]
    budget: Budget | None
    notes: StudyNotes

    def finalists(self) -> list[Finalist]:
        """The finalists, the winner first; noted, with what the selection took.

        Raises:
            EvaluationError: no candidate has a score.
            SearchInterrupted: stopped; the same call goes on.
        """
        clock = self.jobs.clock
        started = clock()
        chosen = self._choose(self.jobs.study.trials)
        if not chosen:
            raise EvaluationError(
                "no candidate has a score with inherited weights; give the search more time, "
                "or see 'archsmith status' for what failed"
            )
        plan = self._plan(chosen)
        numbers, train_bytes = plan["trials"], int(plan["train_bytes"])
        runs: dict[int, FinalistRun] = {}
        if numbers:
            by_number = {trial.number: trial for trial in chosen}
            trials = [by_number[number] for number in numbers]
            room = room_left(
                plan["room_seconds"],
                self.jobs.study.trials,
                JobKind.EXTEND,
                num_slots=self.jobs.num_slots,
            )
            runs = self.jobs.train_from_scratch(trials, train_bytes=train_bytes, timeout=room)
        done = {number: run for number, run in runs.items() if run.done}
        if done:
            found = ranked(
                [_trained(t, done[t.number], train_bytes) for t in chosen if t.number in done]
            )
        else:
            found = [_untrained(trial) for trial in chosen]
        reason = plan["reason"]
        if not done and not reason:
            reason = "their training failed, or did not come to its end in time"
        told = trunk_of(chosen[0]).details.get("supernet", {})
        self._note(
            finalists={**plan, "trained": len(done), "reason": reason},
            trained={key: told[key] for key in _TOLD if key in told},
        )
        self.notes.put(_FINALISTS, [one.model_dump(mode="json") for one in found])
        self.notes.spend("select", max(clock() - started - self.jobs.seconds_in_jobs, 0.0))
        return found

    def has_enough(self) -> bool:
        """Whether there are candidates enough to choose among, so that the search may end."""
        return sum(trial.rung >= 0 for trial in self.jobs.study.trials) >= _LEAST_SCORED

    def _choose(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The best by inherited score, with several objectives those that show most of the front,
        and what the search began with, as always."""
        scored = [
            trial
            for trial in trials
            if trial.rung >= 0
            and trial.state is not TrialState.FAILED
            and trunk_of(trial).is_inherited
            and trunk_of(trial).checkpoint_out
        ]
        chosen = take_best(
            scored,
            count=self.jobs.workspace.config.plan.finalists,
            predicted={trial.number: _score(trial) for trial in scored},
            objectives=self.jobs.study.problem.objectives,
        )
        return chosen + [one for one in scored if one.number == 0 and one not in chosen]

    def _plan(self, chosen: Sequence[TrialRecord]) -> dict[str, Any]:
        """Who is trained from scratch on how much text, as noted by an earlier start or now."""
        stored = (self.notes.get(NOTE) or {}).get(_FINALISTS)
        if stored:
            return dict(stored)
        trials, train_bytes, reason = list(chosen), self.rungs[-1].train_bytes, ""
        room = None
        if self.budget is not None:
            started = self.jobs.clock()
            for trial in trials:
                self.seconds_for(trial.architecture, train_bytes)  # measured now, known from now on
            spent = float(self.notes.get(SPENT) or 0.0) + self.jobs.clock() - started
            room = max(self.budget.search_seconds - spent, 0.0)
        if room is not None:
            train_bytes = self._longest(trials, room)
            # fewer, but long enough to be told apart
            while train_bytes < self.rungs[0].train_bytes and len(trials) > 2:
                trials.pop()
                train_bytes = self._longest(trials, room)
        if len(chosen) < 2:
            reason = "there is one candidate"
        elif train_bytes < self.rungs[0].train_bytes:
            assert room is not None
            left = format_seconds(room)
            reason = f"two trainings to the plan's first rung do not fit in the {left} left"
        plan = {
            "trials": [] if reason else [trial.number for trial in trials],
            "train_bytes": 0 if reason else train_bytes,
            "room_seconds": room,
            "reason": reason,
        }
        self._note(finalists=plan)
        return plan

    def _longest(self, trials: Sequence[TrialRecord], room: float) -> int:
        """Text that all of them can be trained on in so many seconds, side by side as they are."""
        longest = self.rungs[-1].train_bytes
        factor = _ALLOWANCE * (1.0 + self.jobs.recipe.cooldown_fraction)
        each = [factor * self.seconds_for(trial.architecture, longest) for trial in trials]
        slots = self.jobs.num_slots
        needed = max(sum(each) / slots, max(each))
        free = room - _START_SECONDS * math.ceil(len(trials) / slots)
        return min(int(max(free, 0.0) / needed * longest), longest)

    def _note(self, **facts: Any) -> None:
        self.notes.put(NOTE, {**(self.notes.get(NOTE) or {}), **facts})


def select_inherited(
    jobs: FinalistJobs, *, suggestion: Suggestion, budget: Budget | None, notes: StudyNotes
) -> InheritedSelecting:
    """The selection of a search whose scores are inherited.

    Small networks take far more than their FLOPs, so each finalist's speed is measured for a moment
    before it is decided how long all of them are trained.
    """
    workspace = jobs.workspace

    @cache
    def tokens_per_second(architecture: Architecture) -> float:
        return training_tokens_per_second(
            architecture, recipe=jobs.recipe, seconds=_MEASURE_SECONDS, clock=jobs.clock
        )

    def seconds_for(architecture: Architecture, train_bytes: int) -> float:
        tokens = train_bytes / workspace.bytes_per_token[architecture.vocab_size]
        return tokens / tokens_per_second(architecture)

    return InheritedSelecting(
        jobs=jobs,
        rungs=plan_ladder(workspace.config, suggestion, workspace.bytes_per_token),
        seconds_for=seconds_for,
        budget=budget,
        notes=notes,
    )


def _score(trial: TrialRecord) -> float:
    return float(trial.metrics["bits_per_byte"])


def _trained(trial: TrialRecord, run: FinalistRun, train_bytes: int) -> Finalist:
    """One that was trained from scratch; its training is the only one that says what it reaches."""
    assert run.selection_bits_per_byte is not None
    return Finalist(
        trial=trial.number,
        rung=trial.rung,
        train_bytes=train_bytes,
        search_bits_per_byte=_score(trial),
        selection_bits_per_byte=run.selection_bits_per_byte,
        predicted_bits_per_byte=run.selection_bits_per_byte,
        half_width=0.0,
        cooled=True,
        task_errors=run.task_errors,
        runs=(run,),
    )


def _untrained(trial: TrialRecord) -> Finalist:
    """One of which nothing but its inherited score is known."""
    return Finalist(
        trial=trial.number,
        rung=trial.rung,
        train_bytes=0,
        search_bits_per_byte=_score(trial),
        selection_bits_per_byte=_score(trial),
        predicted_bits_per_byte=_score(trial),
        half_width=0.0,
        cooled=False,
    )

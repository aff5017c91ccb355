"""What to do next in a search: propose, reject, measure, promote, close. Decided from rows alone.

    propose ─► exact limits ─► measured limits ─► rung 0 ─► promotion ─► … ─► last rung

Every step is one transaction of the store, so that a search killed between two of them goes on
with the next one, and a second process on the same store takes turns with the first. Events come
from comparing what the store says now with what it said before, whoever made the change.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from archsmith.errors import ConfigError, InfeasibleError
from archsmith.halving.decision import decide
from archsmith.halving.entries import Entry
from archsmith.halving.settings import Halving
from archsmith.runtime import events
from archsmith.runtime.changes import announce
from archsmith.runtime.lease import LeaseKeeper
from archsmith.store.encoding import encode_point, point_hash
from archsmith.store.records import AUDIT, BESIDE, JobKind, JobRecord, JobState, NewJob, TrialRecord
from archsmith.store.store import Store
from archsmith.strategies.base import Strategy
from archsmith.trial import Limit, Observation, Problem, Proposal, TrialState, format_value

Measure = Callable[[Any], Mapping[str, float]]

# A strategy that repeats itself this often has run out of new points.
MAX_REPEATS = 20


class Step(Enum):
    """What a step did."""

    WORKED = "something was queued, rejected or measured"
    WAITING = "results are awaited"
    DONE = "there is nothing more to do"


class Search:
    """The driver's view of one study, and its decisions.

    Args:
        owner: name under which the driver's own leases (measurements) are held.
        evaluator_metrics: names of the metrics that training gives.
        measure: gives metrics by running a candidate untrained, or None.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        problem: Problem,
        strategy: Strategy,
        *,
        halving: Halving,
        owner: str,
        evaluator_metrics: Sequence[str],
        measure: Measure | None,
        on_event: Callable[[events.Event], None],
    ) -> None:
        self.store = store
        self.study = study
        self.problem = problem
        self.strategy = strategy
        self.halving = halving
        self.trials: dict[int, TrialRecord] = {}
        self.exhausted = False
        self.propose_seconds = 0.0
        self._owner = owner
        self._evaluator_metrics = frozenset(evaluator_metrics)
        self._measure = measure
        self._on_event = on_event
        self._revision = -1
        self._observations: dict[int, Observation] = {}
        self._entries: dict[int, Entry] = {}
        self._with_checkpoint: set[int] = set()
        self._hashes: set[str] = set()
        self.refresh(silent=True)

    def refresh(self, *, silent: bool = False) -> list[TrialRecord]:
        """Read what changed; tell the listener. Returns the changed trials."""
        self._revision, changed = self.store.changes(self.study, since=self._revision)
        for trial in changed:
            before = self.trials.get(trial.number)
            self.trials[trial.number] = trial
            self._observations[trial.number] = trial.observation
            self._entries[trial.number] = ladder_entry(trial, self.problem)
            self._hashes.add(trial.hash)
            last = trial.last_rung
            if last is not None and last.checkpoint_out:
                self._with_checkpoint.add(trial.number)
            else:
                self._with_checkpoint.discard(trial.number)
            if not silent:
                for event in announce(before, trial):
                    self._on_event(event)
        return changed

    @property
    def history(self) -> list[Observation]:
        """What the strategy sees, by number."""
        return [self._observations[number] for number in sorted(self._observations)]

    @property
    def jobs(self) -> list[JobRecord]:
        """All jobs of the ladder."""
        return [
            job for trial in self.trials.values() for job in trial.jobs if job.kind not in BESIDE
        ]

    def num_waiting(self) -> int:
        """Jobs of the ladder that a worker could take now."""
        return sum(
            job.kind is JobKind.RUNG and job.is_open and job.state is not JobState.LEASED
            for job in self.jobs
        )

    def entries(self) -> list[Entry]:
        """The trials as halving sees them.

        Where others have a checkpoint, the evaluator leaves them: whose is gone cannot go on.
        Where nobody has one, each rung is evaluated from the beginning.
        """
        if not self._with_checkpoint:
            return list(self._entries.values())
        return [
            entry
            if number in self._with_checkpoint or not entry.scores
            else replace(entry, resumable=False)
            for number, entry in self._entries.items()
        ]

    def step(self, n_trials: int | None) -> Step:
        """Do the next thing, as of the last `refresh`, and return before looking again.

        `n_trials` is how many trials the study shall hold in the end.
        """
        if self._measure_next() or self._go_on_after_measurement() or self._promote(closing=False):
            return Step.WORKED
        if not self.exhausted and (n_trials is None or len(self.trials) < n_trials):
            self._propose()
            return Step.WORKED
        if any(job.is_open for job in self.jobs):
            return Step.WAITING
        return Step.WORKED if self._promote(closing=True) else Step.DONE

    # proposals

    def _propose(self) -> None:
        begun = time.monotonic()
        number = max(self.trials, default=-1) + 1
        proposal = self._new_proposal(number)
        self.propose_seconds += time.monotonic() - begun
        if proposal is None:
            self.exhausted = True
            return
        metrics = dict(self.problem.static_metrics(proposal.architecture))
        self._check_objectives(metrics)
        reason = self._broken(metrics)
        self.store.add_trial(
            self.study,
            proposal,
            number=number,
            static_metrics=metrics,
            rejected=reason,
            job=None if reason else self._first_job(number),
        )  # False: another process was faster; the next step looks again

    def _new_proposal(self, number: int) -> Proposal | None:
        if number < len(self.problem.start):
            point = self.problem.start[number]
            if not self._is_known(point):
                return Proposal(architecture=point, strategy="start")
        history = self.history
        for attempt in range(MAX_REPEATS):
            rng = self.problem.rng(number)
            if attempt:
                rng = random.Random(f"{self.problem.seed}:{number}:{attempt}")
            try:
                proposal = self.strategy.propose(self.problem, history, rng)
            except InfeasibleError:
                if all(trial.state is TrialState.REJECTED for trial in history):
                    raise
                return None
            if not self._is_known(proposal.architecture):
                return proposal
        return None

    def _is_known(self, point: Any) -> bool:
        return point_hash(encode_point(point)[1]) in self._hashes

    def _check_objectives(self, static: Mapping[str, float]) -> None:
        if self._measure is not None:
            return
        for name in self.problem.objectives:
            if name not in static and name not in self._evaluator_metrics:
                given = ", ".join(sorted(self._evaluator_metrics | set(static)))
                raise ConfigError(
                    f"objectives: nothing gives '{name}'; evaluator and cost models give: {given}"
                )

    def _broken(self, metrics: Mapping[str, float]) -> str:
        broken = broken_limits(self.problem.limits, metrics)
        return "; ".join(
            f"{limit} is broken: {format_value(limit.metric, value)}" for limit, value in broken
        )

    def _first_job(self, number: int) -> NewJob:
        if self._measure is not None:
            return NewJob(number=number, kind=JobKind.MEASURE, seed=self.problem.seed)
        return self._rung_job(number, self._first_rung(number))

    def _first_rung(self, number: int) -> int:
        return self.halving.rung_of_first_job(number, len(self.problem.rungs))

    def _rung_job(
        self, number: int, rung: int, *, checkpoint: str = "", audit: bool = False
    ) -> NewJob:
        rungs = self.problem.rungs
        return NewJob(
            number=number,
            rung=rung,
            fraction=rungs[rung].fraction if rungs else 1.0,
            train_bytes=rungs[rung].train_bytes if rungs else 0,
            seed=self.problem.seed,
            options={AUDIT: True} if audit else {},
            checkpoint_in=checkpoint,
        )

    # measurements

    def _measure_next(self) -> bool:
        waiting = [job for job in self.jobs if job.kind is JobKind.MEASURE and job.is_open]
        if not waiting:
            return False
        if self._measure is None:
            raise ConfigError(
                f"study '{self.study}' measures its candidates before training, and no `measure` "
                "was given; pass the one it was started with"
            )
        job = self.store.queue.claim(
            self.study, owner=self._owner, lease_seconds=60.0, kinds=(JobKind.MEASURE,)
        )
        if job is None:
            return False
        cpu, wall = time.process_time(), time.monotonic()
        with LeaseKeeper(self.store, job):
            try:
                metrics = dict(self._measure(self.trials[job.number].architecture))
            except Exception as error:
                reason = f"measurement failed: {type(error).__name__}: {error}"
                self.store.queue.fail(job, reason, wall_seconds=time.monotonic() - wall)
                return True
            except BaseException:
                self.store.queue.preempt(job, wall_seconds=time.monotonic() - wall)
                raise
        self.store.queue.finish(
            job,
            metrics=metrics,
            cpu_seconds=time.process_time() - cpu,
            wall_seconds=time.monotonic() - wall,
        )
        return True

    def _go_on_after_measurement(self) -> bool:
        for number in sorted(self.trials):
            trial = self.trials[number]
            if trial.state is not TrialState.PENDING or any(job.is_open for job in trial.jobs):
                continue
            reason = self._broken(trial.metrics)
            if reason:
                self.store.reject(self.study, number, reason)
            else:
                rung = max(trial.rung + 1, self._first_rung(number))
                self.store.queue.enqueue(self.study, self._rung_job(number, rung))
            return True
        return False

    # promotions

    def _promote(self, *, closing: bool) -> bool:
        decision = decide(
            self.entries(),
            rungs=self.problem.rungs,
            halving=self.halving,
            seed=self.problem.seed,
            uncertain=[name in self._evaluator_metrics for name in self.problem.objectives],
            closing=closing,
        )
        for number, rung in decision.eliminations:
            if self.trials[number].eliminated_rung != rung:
                self.store.set_eliminated(self.study, number, rung)
        for promotion in decision.promotions:
            trial = self.trials[promotion.number]
            below = [j for j in trial.jobs if j.kind is JobKind.RUNG and j.rung == trial.rung]
            job = self._rung_job(
                promotion.number,
                promotion.rung,
                checkpoint=below[-1].checkpoint_out,
                audit=promotion.audit,
            )
            if self.store.queue.enqueue(self.study, job) is not None:
                return True
        return False


def ladder_entry(trial: TrialRecord, problem: Problem) -> Entry:
    """A trial as halving sees it."""
    scores, seconds = {}, {}
    for rung in range(trial.rung + 1):
        metrics = trial.metrics_at(rung)
        if "train_seconds" in metrics:
            seconds[rung] = metrics["train_seconds"]
        if all(name in metrics for name in problem.objectives):
            scores[rung] = tuple(metrics[name] for name in problem.objectives)
    feasible = not broken_limits(problem.limits, trial.metrics)
    alive = trial.state in (TrialState.COMPLETE, TrialState.PENDING)
    return Entry(
        number=trial.number,
        scores=scores,
        started_rung=trial.started_rung,
        alive=alive and feasible,
        feasible=feasible,
        seconds=seconds,
        audited_from=trial.audited_from,
    )


def broken_limits(
    limits: Sequence[Limit], metrics: Mapping[str, float]
) -> list[tuple[Limit, float]]:
    """The limits that known metrics break, with the values."""
    return [
        (limit, metrics[limit.metric])
        for limit in limits
        if limit.metric in metrics and not limit.holds(metrics[limit.metric])
    ]

"""The study itself: what is stored of it, searching, and training its trials on or again.

Whatever happens is in the store before anything follows from it: started again, with the same
arguments, a study goes on where it was, and a second process that does the same helps.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from archsmith.device.environment import num_usable_cores
from archsmith.errors import ConfigError, EvaluationError
from archsmith.evaluators.base import Evaluator
from archsmith.halving.audits import Audit, audit
from archsmith.halving.settings import Halving
from archsmith.runtime import disk
from archsmith.runtime.batch import run_here, run_side_by_side
from archsmith.runtime.driver import Interrupts, StopReason, drive
from archsmith.runtime.events import Event
from archsmith.runtime.folders import checkpoint_root
from archsmith.runtime.parts import NOTE, dump_evaluator
from archsmith.runtime.search import Measure, Search, ladder_entry
from archsmith.runtime.supervisor import STUCK_SECONDS
from archsmith.runtime.worker import owner_name
from archsmith.store.records import JobRecord, JobState, NewJob, StudyRecord, TrialRecord
from archsmith.store.store import Store
from archsmith.strategies.base import Strategy
from archsmith.study.beside import Repeat, extension, repetition
from archsmith.study.best import find_best, worth_keeping
from archsmith.study.start import check_options, choose_executor, clear_up
from archsmith.study.worker_memory import divide_memory
from archsmith.trial import Observation, Problem
from archsmith.units import parse_bytes, parse_seconds


class Study:
    """A search with its history; see `create_study` and `load_study`.

    Attributes:
        problem: what is searched for.
        store: where it is recorded.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        problem: Problem,
        strategy: Strategy | None,
        *,
        halving: Halving,
        measure: Measure | None,
    ) -> None:
        self.store = store
        self.study_name = name
        self.problem = problem
        self.strategy = strategy
        self.halving = halving
        self._measure = measure

    @property
    def record(self) -> StudyRecord:
        """What is stored of the study itself."""
        return self.store.study(self.study_name)

    @property
    def checkpoint_root(self) -> Path:
        """The folder of the study's checkpoints; stored paths are relative to it."""
        return checkpoint_root(self.store, self.record)

    @property
    def trials(self) -> list[TrialRecord]:
        """Every trial with everything known about it, by number."""
        return self.store.trials(self.study_name)

    def history(self) -> list[Observation]:
        """Every trial as strategies see it, by number."""
        return self.store.observations(self.study_name)

    @property
    def best_trials(self) -> list[TrialRecord]:
        """The best trial, or with several objectives the Pareto front; see `find_best`."""
        return find_best(
            self.trials, objectives=self.problem.objectives, limits=self.problem.limits
        )

    def audit(self) -> Audit:
        """Which eliminated trials ran on, and which of them proved falsely eliminated."""
        entries = [ladder_entry(trial, self.problem) for trial in self.trials]
        return audit(entries, rungs=self.problem.rungs, halving=self.halving)

    def optimize(
        self,
        evaluator: Evaluator,
        *,
        n_trials: int | None = None,
        timeout: float | str | None = None,
        n_jobs: int = 1,
        executor: Literal["processes", "inline"] = "processes",
        on_event: Callable[[Event], None] = lambda event: None,
        memory_bytes: int | None = None,
        checkpoint_bytes: int | str | None = None,
        stuck_seconds: float = STUCK_SECONDS,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> StopReason:
        """Search. Started again it continues; a second process that does the same helps.

        Args:
            evaluator: turns candidates into metrics.
            n_trials: how many trials the study shall hold in the end, earlier starts and rejected
                ones included; None for as many as time and space allow.
            timeout: seconds, or text such as "8h"; jobs under way are checkpointed.
            n_jobs: worker processes.
            executor: `processes`, or `inline` for one job at a time in this process.
            on_event: told what happens.
            memory_bytes: what one worker may use; None for its share of what is free. Candidates
                whose `train_memory_bytes` are more are rejected before training; what was decided
                first holds for the study until another value is given.
            checkpoint_bytes: what checkpoints may hold; None for half of the free disk.
            stuck_seconds: a job without progress for so long is recorded as failed.
            threads: of one job; None for the cores divided among the jobs.
            clock: what `timeout` is measured with; with the inline executor and one thread,
                `time.process_time` makes searches equal that share a busy machine.

        Raises:
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
            InfeasibleError: no point of the space meets the limits.
            ConfigError: a setting is wrong, or an objective that nothing gives.
            StoreError: the disk is full, or the store cannot be used.
            EvaluationError: the first candidates all fail alike, or workers cannot start.
        """
        if self.strategy is None:
            raise ConfigError(
                f"study '{self.study_name}' was loaded for reading; to optimize it give "
                "load_study its space and static_metrics"
            )
        check_options(n_trials=n_trials, n_jobs=n_jobs, executor=executor)
        deadline = None if timeout is None else clock() + parse_seconds(timeout)
        store, name = self.store, self.study_name
        store.put_note(name, NOTE, dump_evaluator(evaluator))
        clear_up(store, name, on_event=on_event)
        budget = disk.default_budget_bytes(store, name)
        if checkpoint_bytes is not None:
            budget = parse_bytes(checkpoint_bytes)
        interrupts = Interrupts()
        memory = divide_memory(
            store, name, num_workers=n_jobs, asked_bytes=memory_bytes, on_event=on_event
        )
        search = Search(
            store,
            name,
            self.problem.within(memory.limit),
            self.strategy,
            halving=self.halving,
            owner=owner_name(),
            evaluator_metrics=evaluator.metrics(),
            measure=self._measure,
            on_event=on_event,
        )

        def is_over() -> bool:
            return deadline is not None and clock() >= deadline

        with interrupts.listening():
            place = choose_executor(
                executor,
                search,
                evaluator,
                n_jobs=n_jobs,
                threads=threads or max(num_usable_cores() // n_jobs, 1),
                memory_bytes=memory.allowed_bytes,
                stuck_seconds=stuck_seconds,
                stop=lambda: is_over() or interrupts.asked(),
                on_event=on_event,
            )
            try:
                return drive(
                    search,
                    place,
                    n_trials=n_trials,
                    is_over=is_over,
                    interrupts=interrupts,
                    budget_bytes=budget,
                    best=lambda trials: worth_keeping(trials, self.problem),
                    on_event=on_event,
                )
            finally:
                store.spend(name, "propose", seconds=search.propose_seconds)
                disk.remove_empty_folders(store, name)

    def extend(
        self,
        trial: int | TrialRecord,
        *,
        train_bytes: int | str,
        options: Mapping[str, Any] | None = None,
        evaluator: Evaluator | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        threads: int | None = None,
    ) -> JobRecord:
        """Train a trial on from its stored checkpoint, through the same queue.

        Its seed is that of the checkpoint. A score with inherited weights is the beginning of
        nothing: such a trial is trained from scratch. Asked for again it returns the stored result;
        interrupted it goes on where it was.

        Args:
            trial: which.
            train_bytes: how far, in bytes of text from the beginning of the trunk.
            options: further settings for the evaluator, such as a cooldown.
            evaluator: None for the one the study was optimized with.
            on_event: told what happens.
            threads: None for all cores.

        Raises:
            CheckpointError: the trial has no checkpoint to continue from.
            EvaluationError: the job failed.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        number = trial if isinstance(trial, int) else trial.number
        done = run_here(
            self.store,
            self.study_name,
            self._extension(number, train_bytes=train_bytes, options=options or {}),
            evaluator=evaluator,
            threads=threads or num_usable_cores(),
            on_event=on_event,
        )
        if done.state is JobState.FAILED:
            raise EvaluationError(f"trial {number} could not be trained on: {done.error}")
        return done

    def cool_down(self, trials: Sequence[TrialRecord], **settings: Any) -> list[JobRecord]:
        """Cool the trunks of trials down from where they are; they themselves stay unchanged.

        Args:
            trials: each with the checkpoint of its last rung.
            settings: as `repeat` has them.

        Returns:
            The jobs in the order of `trials`: done or failed.

        Raises:
            CheckpointError: one has no checkpoint.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        jobs = []
        for trial in trials:
            last = trial.last_rung
            jobs.append(self._cooldown(trial, train_bytes=last.train_bytes if last else 0))
        return run_side_by_side(self.store, self.study_name, jobs, **settings)

    def train_on(
        self, trials: Sequence[TrialRecord], *, train_bytes: int, **settings: Any
    ) -> list[JobRecord]:
        """Train trials on to so much text from their checkpoints and cool them down, side by side.

        A score with inherited weights is the beginning of nothing: it is trained from scratch.

        Args:
            trials: each with the checkpoint of its last rung, in the order they are taken up.
            train_bytes: bytes of text from the beginning of each trunk.
            settings: as `repeat` has them.

        Returns:
            The jobs in the order of `trials`: done, failed, or open where the time was up.

        Raises:
            CheckpointError: one has no checkpoint.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        jobs = [self._cooldown(trial, train_bytes=train_bytes) for trial in trials]
        return run_side_by_side(self.store, self.study_name, jobs, **settings)

    def repeat(self, repeats: Sequence[Repeat], **settings: Any) -> list[JobRecord]:
        """Train trials again from scratch to the last rung they finished, through the same queue.

        What is done already is not done again. The trials' own results stay as they are.

        Args:
            repeats: in the order in which they are taken up.
            settings: `n_jobs` worker processes (1), `executor` as in `optimize`; `timeout`, seconds
                by `clock`, after which jobs are checkpointed and stay open (None); `threads` of one
                job (1); `on_event`, told what happens.

        Returns:
            The jobs in the order of `repeats`: done, failed, or open where the time was up.

        Raises:
            ConfigError: a trial has finished no rung.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        jobs = [
            repetition(self._trial(one.trial), seed=one.seed, options=one.options)
            for one in repeats
        ]
        return run_side_by_side(self.store, self.study_name, jobs, **settings)

    def _trial(self, number: int) -> TrialRecord:
        """A trial as it is now."""
        return self.store.trial(self.study_name, number)

    def _cooldown(self, trial: TrialRecord, *, train_bytes: int) -> NewJob:
        return self._extension(trial.number, train_bytes=train_bytes, options={"cooldown": True})

    def _extension(
        self, number: int, *, train_bytes: int | str, options: Mapping[str, Any]
    ) -> NewJob:
        return extension(
            self._trial(number),
            rungs=self.problem.rungs,
            train_bytes=train_bytes,
            options=options,
        )

"""A study: a search with its history, in Optuna's words (Akiba et al. 2019, arXiv 1907.10902).

    study = create_study(study_name="notes", storage="studies.db", space=space, strategy=strategy,
                         objectives=["bits_per_byte"], limits=["file_bytes <= 16MiB"],
                         static_metrics=cost_models, rungs=rungs, load_if_exists=True)
    study.optimize(evaluator, n_trials=100, n_jobs=2)
    study.best_trials[0].architecture

Whatever happens is in the store before anything follows from it: started again, with the same
arguments, a study goes on where it was, and a second process that does the same helps.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from archsmith import registry
from archsmith.config import content_hash
from archsmith.device.environment import num_usable_cores
from archsmith.errors import CheckpointError, ConfigError, EvaluationError, StoreError
from archsmith.evaluators.base import Evaluator
from archsmith.halving.audits import Audit, audit
from archsmith.halving.ranking import first_front, rank
from archsmith.halving.settings import Halving
from archsmith.runtime import disk
from archsmith.runtime.batch import inline_executor, run_batch, run_side_by_side
from archsmith.runtime.driver import (
    Executor,
    Interrupts,
    StopReason,
    drive,
    take_back_dead_leases,
)
from archsmith.runtime.events import Event, Notice
from archsmith.runtime.folders import checkpoint_root, named_root
from archsmith.runtime.inline import InlineExecutor
from archsmith.runtime.parts import NOTE, dump_evaluator
from archsmith.runtime.search import Measure, Search, broken_limits, ladder_entry
from archsmith.runtime.supervisor import STUCK_SECONDS, Supervisor
from archsmith.runtime.worker import owner_name
from archsmith.store.records import JobKind, JobRecord, JobState, NewJob, StudyRecord, TrialRecord
from archsmith.store.store import Store, connect
from archsmith.strategies.base import Strategy
from archsmith.trial import Limit, Observation, Problem, Rung, Space, TrialState
from archsmith.units import format_bytes, parse_bytes, parse_seconds
from archsmith.worker_memory import share_of_memory, worker_memory

StaticMetrics = Callable[[Any], Mapping[str, float]]


def create_study(
    *,
    study_name: str,
    storage: str | Path | Store,
    space: Space,
    strategy: Strategy | str,
    objectives: Sequence[str],
    static_metrics: StaticMetrics,
    limits: Sequence[Limit | str] = (),
    rungs: Sequence[Rung] = (),
    halving: Halving | None = None,
    seed: int = 0,
    start: Sequence[Any] = (),
    measure: Measure | None = None,
    load_if_exists: bool = False,
    checkpoint_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> "Study":
    """Make a study, or with `load_if_exists` continue the one of that name.

    Args:
        study_name: unique in its storage.
        storage: a file, a database URL, or a connected store. A file is made if missing.
        space: where candidates come from.
        strategy: who proposes them, or its registered name for its default settings.
        objectives: metrics to minimize; the first is the one best trials are sorted by.
        static_metrics: metrics known without running anything, in microseconds.
        limits: hard constraints, as `Limit` or text such as "file_bytes <= 16MiB".
        rungs: the ladder, see `halving.rungs`; none for evaluators of one fidelity.
        halving: how rungs eliminate; the strategy's own discipline, else the ladder, if not told.
        seed: of proposals, weights and data order.
        start: points to try first, before the strategy is asked.
        measure: gives metrics by running a candidate untrained; its results are stored, and
            limits on them are decided before training.
        load_if_exists: continue a study of that name, which must have the same settings.
        checkpoint_dir: where checkpoints go; beside the storage's file if not told.
        settings: anything to keep with the study, JSON values (the expanded search file).

    Raises:
        ConfigError: an unknown strategy or metric, or other settings than the stored study has.
        StoreError: the name is taken, or the storage cannot be used.
    """
    chosen = strategy if isinstance(strategy, Strategy) else _default_strategy(strategy)
    problem = Problem(
        space=space,
        objectives=objectives,
        limits=[Limit.parse(limit) if isinstance(limit, str) else limit for limit in limits],
        rungs=rungs,
        static_metrics=static_metrics,
        seed=seed,
        start=start,
    )
    if not problem.objectives:
        raise ConfigError("objectives: a study needs at least one, such as 'bits_per_byte'")
    halving = halving or chosen.halving() or Halving()
    spec = {
        "objectives": list(problem.objectives),
        "limits": [limit.model_dump(mode="json") for limit in problem.limits],
        "rungs": [rung.model_dump(mode="json") for rung in rungs],
        "strategy": chosen.model_dump(mode="json"),
        "halving": halving.model_dump(mode="json"),
        "seed": seed,
        "measured": measure is not None,
        "settings": dict(settings or {}),
    }
    store = storage if isinstance(storage, Store) else connect(storage, create=True)
    spec["checkpoint_dir"] = named_root(store, checkpoint_dir) if checkpoint_dir else ""
    known = {study.name for study in store.studies()}
    if study_name in known and load_if_exists:
        _check_same(study_name, store.study(study_name).spec, spec)
    else:
        store.create_study(study_name, spec=spec, seed=seed)
    return Study(store, study_name, problem, chosen, halving=halving, measure=measure)


def load_study(*, study_name: str, storage: str | Path | Store, **parts: Any) -> "Study":
    """Open an existing study: to look at it, or with the parts of `create_study` to continue it.

    Without `space` and `static_metrics` a study can be read and extended, not optimized.

    Raises:
        StoreError: there is no such store or study.
        ConfigError: parts that differ from the stored ones.
    """
    store = storage if isinstance(storage, Store) else connect(storage)
    spec = store.study(study_name).spec
    if "space" in parts:
        given = {
            "strategy": registry.find("strategies", spec["strategy"]["type"]).model_validate(
                spec["strategy"]
            )
            if "strategy" not in parts
            else parts.pop("strategy"),
            "objectives": spec["objectives"],
            "limits": [Limit.model_validate(limit) for limit in spec["limits"]],
            "rungs": [Rung.model_validate(rung) for rung in spec["rungs"]],
            "halving": Halving.model_validate(spec["halving"]),
            "seed": spec["seed"],
            **parts,
        }
        return create_study(study_name=study_name, storage=store, load_if_exists=True, **given)
    problem = Problem(
        space=_NoSpace(),
        objectives=spec["objectives"],
        limits=[Limit.model_validate(limit) for limit in spec["limits"]],
        rungs=[Rung.model_validate(rung) for rung in spec["rungs"]],
        static_metrics=lambda point: {},
        seed=spec["seed"],
    )
    return Study(
        store,
        study_name,
        problem,
        None,
        halving=Halving.model_validate(spec["halving"]),
        measure=None,
    )


class Repeat(NamedTuple):
    """A trial to be trained again: with which seed, and the evaluator's further settings."""

    trial: int
    seed: int
    options: Mapping[str, Any]


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
        strategy = self._check_startable(n_trials, n_jobs, executor)
        deadline = None if timeout is None else clock() + parse_seconds(timeout)
        store, name = self.store, self.study_name
        threads = threads or max(num_usable_cores() // n_jobs, 1)
        store.put_note(name, NOTE, dump_evaluator(evaluator))
        store.request_stop(name, stop=False)
        take_back_dead_leases(store, name)
        freed = disk.collect_orphans(store, name)
        if freed:
            on_event(Notice(text=f"left by an interrupted run and deleted: {freed} bytes"))
        budget = disk.default_budget_bytes(store, name)
        if checkpoint_bytes is not None:
            budget = parse_bytes(checkpoint_bytes)
        interrupts = Interrupts()
        allowed = memory_bytes or share_of_memory(n_jobs)
        fits = worker_memory(store, name, allowed, asked=memory_bytes is not None)
        if fits.value > allowed:
            on_event(
                Notice(
                    text=f"a worker may use {format_bytes(allowed)} now, and candidates are "
                    f"admitted up to the {format_bytes(fits.value)} the study began with; those "
                    "between are stopped when they use more. Fewer jobs leave each of them more"
                )
            )
        search = Search(
            store,
            name,
            self.problem.within(fits),
            strategy,
            halving=self.halving,
            owner=owner_name(),
            evaluator_metrics=evaluator.metrics(),
            measure=self._measure,
            on_event=on_event,
        )

        def is_over() -> bool:
            return deadline is not None and clock() >= deadline

        def stop() -> bool:
            return is_over() or interrupts.asked()

        with interrupts.listening():
            place: Executor
            if executor == "inline":
                place = InlineExecutor(
                    store,
                    name,
                    evaluator,
                    owner=owner_name(),
                    threads=threads,
                    point_of=lambda number: search.trials[number].architecture,
                    on_claim=search.refresh,
                    on_event=on_event,
                    stop=stop,
                )
            else:
                place = Supervisor(
                    store,
                    name,
                    num_slots=n_jobs,
                    threads=threads,
                    on_notice=lambda text: on_event(Notice(text=text)),
                    memory_bytes=allowed,
                    stuck_seconds=stuck_seconds,
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
        train_bytes: int | str | None = None,
        seconds: float | str | None = None,
        options: Mapping[str, Any] | None = None,
        evaluator: Evaluator | None = None,
        seed: int | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        threads: int | None = None,
    ) -> JobRecord:
        """Train a trial on from its stored checkpoint, through the same queue; never from scratch.

        Asked for again it returns the stored result; interrupted it goes on where it was.

        Args:
            trial: which.
            train_bytes: how far, in bytes of text from the beginning of the trunk.
            seconds: or how long, handed to the evaluator as `options["seconds"]`.
            options: further settings for the evaluator, such as a cooldown.
            evaluator: None for the one the study was optimized with.
            seed: None for the study's.
            on_event: told what happens.
            threads: None for all cores.

        Raises:
            CheckpointError: the trial has no checkpoint to continue from.
            EvaluationError: the job failed.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        number = trial if isinstance(trial, int) else trial.number
        job = self._extension(number, train_bytes, seconds, options or {}, seed)
        (done,) = run_batch(
            self.store,
            self.study_name,
            [job],
            executor=lambda jobs, interrupts: inline_executor(
                self.store,
                self.study_name,
                evaluator=evaluator,
                threads=threads or num_usable_cores(),
                on_event=on_event,
                stop=interrupts.asked,
                job_id=jobs[0].id,
            ),
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

        Raises:
            CheckpointError: one has no checkpoint.
            EvaluationError: one failed.
            SearchInterrupted: stopped by Ctrl-C or SIGTERM, after checkpointing.
        """
        jobs = []
        for trial in trials:
            last = trial.last_rung
            target = last.train_bytes if last else 0
            jobs.append(self._extension(trial.number, target, None, {"cooldown": True}, None))
        found = run_side_by_side(self.store, self.study_name, jobs, **settings)
        for job in found:
            if job.state is JobState.FAILED:
                raise EvaluationError(f"trial {job.number} could not be cooled down: {job.error}")
        return found

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
        options = {"cooldown": True}
        jobs = [self._extension(trial.number, train_bytes, None, options, None) for trial in trials]
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
        jobs = [self._repetition(repeat) for repeat in repeats]
        return run_side_by_side(self.store, self.study_name, jobs, **settings)

    def _repetition(self, repeat: Repeat) -> NewJob:
        trial = self.store.trial(self.study_name, repeat.trial)
        last = trial.last_rung
        if last is None:
            raise ConfigError(
                f"trial {repeat.trial} was never trained ({trial.reason or trial.state.value}): "
                "there is nothing to repeat"
            )
        return NewJob(
            number=repeat.trial,
            kind=JobKind.REPEAT,
            rung=last.rung,
            fraction=last.fraction,
            train_bytes=last.train_bytes,
            seed=repeat.seed,
            label=content_hash({"train_bytes": last.train_bytes, "options": dict(repeat.options)}),
            options=dict(repeat.options),
        )

    def _extension(
        self,
        number: int,
        train_bytes: int | str | None,
        seconds: float | str | None,
        options: Mapping[str, Any],
        seed: int | None,
    ) -> NewJob:
        if (train_bytes is None) == (seconds is None):
            raise ConfigError("extend: give either train_bytes or seconds")
        target = 0 if train_bytes is None else parse_bytes(train_bytes)
        if seconds is not None:
            options = {**options, "seconds": parse_seconds(seconds)}
        trial = self.store.trial(self.study_name, number)
        source = trial.last_rung
        if source is None or not source.checkpoint_out:
            raise CheckpointError(
                f"trial {number} has no checkpoint to train on from; choose another trial "
                "(the best ones' are always kept)"
            )
        plan = self.problem.rungs
        whole = plan[-1].train_bytes / plan[-1].fraction if plan else target
        return NewJob(
            number=number,
            kind=JobKind.EXTEND,
            rung=source.rung,
            fraction=target / whole if target else 0.0,
            train_bytes=target,
            seed=self.problem.seed if seed is None else seed,
            label=content_hash({"train_bytes": target, "options": dict(options)}),
            options=options,
            checkpoint_in=source.checkpoint_out,
        )

    def _check_startable(self, n_trials: int | None, n_jobs: int, executor: str) -> Strategy:
        if self.strategy is None:
            raise ConfigError(
                f"study '{self.study_name}' was loaded for reading; to optimize it give "
                "load_study its space and static_metrics"
            )
        if n_trials is not None and n_trials < 1:
            raise ConfigError(f"n_trials: at least 1 is needed, got {n_trials}")
        if n_jobs < 1:
            raise ConfigError(f"n_jobs: at least 1 is needed, got {n_jobs}")
        if executor == "inline" and n_jobs != 1:
            raise ConfigError(
                f"n_jobs: the inline executor runs one job at a time, got {n_jobs}; "
                "use executor='processes'"
            )
        return self.strategy


def worth_keeping(trials: Sequence[TrialRecord], problem: Problem) -> list[TrialRecord]:
    """Whose checkpoints the disk budget never takes: the best, and what the search began with.
    Of the others the worst go first, so that those in the lead stay longest."""
    best = find_best(trials, objectives=problem.objectives, limits=problem.limits)
    return [*best, *(trial for trial in trials if trial.number == 0)]


def find_best(
    trials: Sequence[TrialRecord], *, objectives: Sequence[str], limits: Sequence[Limit]
) -> list[TrialRecord]:
    """The best of all trials that finished the highest rung anyone finished and meet the limits.

    With one objective the best alone; with several the Pareto front, sorted by the first one.
    Ties go to the older trial. Empty before a first result.
    """
    usable = [
        trial
        for trial in trials
        if trial.rung >= 0
        and trial.state in (TrialState.COMPLETE, TrialState.PENDING)
        and all(name in trial.metrics for name in objectives)
        and not broken_limits(limits, trial.metrics)
    ]
    top = max((trial.rung for trial in usable), default=-1)
    usable = [trial for trial in usable if trial.rung == top]
    values = [tuple(trial.metrics[name] for name in objectives) for trial in usable]
    if len(objectives) == 1:
        return [usable[index] for index in rank(values)[:1]]
    front = [usable[index] for index in first_front(values)]
    return sorted(front, key=lambda trial: (trial.metrics[objectives[0]], trial.number))


def _default_strategy(name: str) -> Strategy:
    return registry.find("strategies", name)()  # type: ignore[no-any-return, unused-ignore]


def _check_same(name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises ConfigError where other settings would make a study's trials incomparable."""
    # settings that did not exist yet stand at their defaults
    halving = Halving.model_validate(stored["halving"]).model_dump(mode="json")
    stored = {**stored, "halving": halving}
    for key in ("objectives", "limits", "rungs", "strategy", "halving", "seed", "measured"):
        if stored[key] != given[key]:
            raise ConfigError(
                f"study '{name}' was started with {key} = {stored[key]}, now it is {given[key]}; "
                "give the study another name, or the settings it was started with"
            )


class _NoSpace:
    """Stands for the space of a study that is only read."""

    def __getattr__(self, name: str) -> Any:
        raise StoreError("this study was loaded for reading; its space was not given")

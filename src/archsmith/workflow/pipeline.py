"""The whole job in phases, each of which finds what an earlier start left and goes on from there.

    prepare ─► suggest ─► calibrate ─► search ─► select ─► train ─► hand over ─► compare ─► report

Everything a phase decides is a note in the store before the next one begins; the report is made
from the store alone.
"""

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget, divide
from archsmith.config import validate
from archsmith.data.completion import prompts
from archsmith.data.corpus import Split
from archsmith.data.ngram import NGramModel
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.storage import make_folder
from archsmith.data.token_file import TokenFile
from archsmith.data.verbatim import build_index
from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.profile import lone_threads, training_profile
from archsmith.device.target import Target, load_target
from archsmith.errors import ConfigError, EvaluationError, StoreError
from archsmith.evaluators.base import Progress
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.halving import Halving, plan_rungs
from archsmith.presets import scaled_llama
from archsmith.runtime.events import Event
from archsmith.store.records import JobKind, JobState, TrialRecord
from archsmith.store.store import Store, connect
from archsmith.store.urls import resolve_storage
from archsmith.study import Study, create_study
from archsmith.train.recipe import Recipe
from archsmith.trial import ArmResult, Rung, TrialState
from archsmith.workflow.arms import ArmProcess, ArmTask, wait_for
from archsmith.workflow.calibration import NUM_RUNS, Calibration, KindCalibration, calibrate
from archsmith.workflow.fitting import fitted, measure_latency
from archsmith.workflow.floors import measure_floors
from archsmith.workflow.handover import Handover, Yardstick, hand_over
from archsmith.workflow.model_folder import TrainedModel, TrainingRecord, load_model_folder
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.selection import Finalist, Horizon, choose_finalists, select
from archsmith.workflow.suggestion import Suggestion, measure_speed, require_feasible, suggest
from archsmith.workflow.tasks import check_tasks, is_task, search_objectives, task_errors
from archsmith.workflow.throughput import training_tokens_per_second
from archsmith.workflow.training import train_interruptibly
from archsmith.workflow.workspace import Workspace

WINNER = "search winner"
MAXIMIZER = "parameter maximizer"
# strategy -> its arm's name in tables
BASELINES = {
    "parameter_maximizer": MAXIMIZER,
    "llama_shape": "fitted Llama shape",
    "phi3_shape": "fitted Phi-3 shape",
}
# Held-out text scored at a rung. Candidates are compared on the same bytes, so the text's own
# variance cancels; twice as much would read more tokens than the shortest rungs train on.
RUNG_SCORE_BYTES = 1 << 16
_NOTE_SECONDS = 5.0
# No rung ends before so many updates, nor before twice the warm-up.
LEAST_UPDATES = 200
# The corpus's difficulty, measured as it was for the runs behind the prior.
_CORPUS_SAMPLE_BYTES = 2_000_000
_DIFFICULTY_BYTES = 1 << 17
# Finalists are cooled down where a cooldown of a fifth of their trunks fits in the search's share.
_COOLED_FROM_SECONDS = 300.0


class Watcher:
    """Who watches a job; every method may be overridden, none has to be."""

    def phase(self, name: str, seconds: float | None) -> None:
        """A phase begins, with the time set aside for it."""

    def progress(self, what: str, fraction: float) -> None:
        """Preparation or export goes on."""

    def event(self, event: Event) -> None:
        """Something happened in the search."""

    def training(self, name: str, progress: Progress) -> None:
        """An arm's training goes on."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Pipeline:
    """One search from its file to its report.

    Attributes:
        config, root: the search file and the folder its paths start from.
        budget: seconds per phase, or None where only trials and bytes end the job.
        in_one_process: search and training run in this process, on one core, and seconds are its
            CPU seconds: for comparisons on a shared machine. Not for baselines beside the search.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        root: Path,
        watcher: Watcher | None = None,
        command: str = "",
        clock: Callable[[], float] = time.monotonic,
        in_one_process: bool = False,
    ) -> None:
        self.config = config
        self.in_one_process = in_one_process
        self.root = root
        self.watcher = watcher or Watcher()
        self.workspace = Workspace(config, root=root, report=self.watcher.progress)
        self.budget: Budget | None = plan_budget(config) if config.timeout is not None else None
        self._clock = time.process_time if in_one_process else clock
        self._command = command
        self._notes: dict[str, Any] = {}
        self._prepare_seconds = 0.0  # until there is a study to enter them in

    @cached_property
    def target(self) -> Target | None:
        """The machine the model is for, where it is another. Raises ConfigError."""
        named = self.config.device.target
        return None if named is None else load_target(self.root / named)

    @cached_property
    def store(self) -> Store:
        """The study's database, made if it is missing."""
        make_folder(self.workspace.output_dir)
        return connect(resolve_storage(self.config.storage, self.root), create=True)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.study_name

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the arms trained beside the winner."""
        return tuple(BASELINES[kind] for kind in self.config.baselines)

    @property
    def threads(self) -> int:
        """Threads for the one training that is left at the end."""
        return 1 if self.in_one_process else num_usable_cores()

    @property
    def finished(self) -> bool:
        """Whether an earlier start came to the end."""
        return bool(self._stored_note("arms"))

    # phases

    def prepare(self, *, encode: Sequence[int] = ()) -> None:
        """Corpus, tokenizer and bytes per token; the task files are read once.

        Token files of the vocabularies in `encode` are made now, so that no arm pays for them while
        it is timed; others are made when they are needed.
        """
        check_tasks(self.config.objectives, self.root)
        training_profile()  # one of another machine is refused before anything is done
        if self.target is not None:
            self.watcher.note(f"milliseconds are predicted for {self.target.name}, not measured")
        self.begin("prepare corpus and tokenizer")
        started = self._clock()
        self._notes["corpus"] = self.workspace.corpus.report.model_dump(mode="json")
        self._notes["environment"] = environment().model_dump(mode="json")
        assert self.workspace.vocabularies
        for size in encode:
            for split in (Split.TRAIN, Split.SEARCH, Split.SELECTION):
                self.workspace.tokens(split, size)
        self._prepare_seconds = self._clock() - started

    def suggestion(self) -> Suggestion:
        """What the search starts from; noted once, so that a second start has the same."""
        stored = self._stored_note("suggestion")
        if stored:
            return validate(Suggestion, stored, source="the stored suggestion")
        self.begin("suggest")
        found = make_suggestion(
            self.workspace,
            recipe=self.config.training,
            seconds=None if self.budget is None else self.budget.training_seconds,
            train_bytes=self.config.plan.train_bytes,
            num_threads=1,
        )
        self._notes["suggestion"] = found.model_dump(mode="json")
        return found

    def study(self, suggestion: Suggestion, *, start_rows: int | None = None) -> Study:
        """The study, made or continued; it begins with the suggestion's first `start_rows` rows."""
        rungs = self._rungs(suggestion)
        needs_latency = any(
            metric == "decode_ms_per_token"
            for metric in (*self.config.objectives, *(limit.metric for limit in self.config.limits))
        )
        start = tuple(dict.fromkeys(row.architecture for row in suggestion.rows[:start_rows]))
        study = create_study(
            study_name=self.name,
            storage=self.store,
            space=self.workspace.space,
            strategy=self.config.strategy,
            objectives=search_objectives(self.config.objectives),
            static_metrics=self.workspace.static_metrics,
            limits=self.config.limits,
            rungs=rungs,
            halving=self._halving(),
            seed=self.config.seed,
            start=start,
            measure=partial(measure_latency, target=self.target) if needs_latency else None,
            load_if_exists=True,
            checkpoint_dir=self.workspace.output_dir / "checkpoints" / self.name,
            settings=self.config.model_dump(mode="json"),
        )
        self._check_target()
        for key, value in self._notes.items():
            self.store.put_note(self.name, key, value)
        self._notes.clear()
        self._spend("prepare", self._prepare_seconds)
        self._prepare_seconds = 0.0
        self.store.put_note(self.name, "command", self._command)
        if not self._stored_note("verdict"):  # fixed once, before anything is trained
            primary = {"primary_baseline": MAXIMIZER, "margin": 0.005, "time": time.time()}
            self.store.put_note(self.name, "verdict", primary)
        if self.budget is not None:
            self.store.put_note(self.name, "plan", dict(self.budget.lines()))
        return study

    def _check_target(self) -> None:
        """Milliseconds of two machines never stand in one study. Raises ConfigError."""
        stored = self.store.study(self.name).spec.get("settings", {}).get("device") or {}
        if stored.get("target") != self.config.device.target:
            raise ConfigError(
                f"device.target is {self.config.device.target!r}, and the study '{self.name}' was "
                f"started with {stored.get('target')!r}; give another study_name"
            )

    def calibrated_recipe(self, suggestion: Suggestion) -> Recipe:
        """The recipe with calibrated rates where the budget has time for that."""
        stored = self._stored_note("calibration")
        if not stored and (self.budget is None or self.budget.calibration_seconds == 0.0):
            return self.config.training
        if not stored:
            assert self.budget is not None
            self._calibrate(suggestion, self.budget.calibration_seconds)
        return self.stored_recipe()

    def stored_recipe(self) -> Recipe:
        """The recipe with the rates of an earlier calibration, if there was one."""
        stored = self._stored_note("calibration")
        if not stored:
            return self.config.training
        found = validate(Calibration, stored, source="the stored calibration")
        return self.config.training.model_copy(update=found.recipe_changes())

    def search(self, study: Study, recipe: Recipe) -> None:
        """Propose, reject, train, promote, until trials or time are up."""
        self.begin("search", None if self.budget is None else self.budget.search_seconds)
        left = None
        if self.budget is not None:
            left = self.budget.search_seconds * self._share_of_search() - self._searched_seconds()
            if left <= 0:
                return
        started, before = self._clock(), self._searched_seconds()
        noted = started

        def tell(event: Event) -> None:
            nonlocal noted
            if self._clock() - noted > _NOTE_SECONDS:  # a killed search keeps its account
                noted = self._clock()
                self.store.put_note(self.name, "search_seconds", before + noted - started)
            self.watcher.event(event)

        try:
            while True:
                study.optimize(
                    self.evaluator(recipe),
                    n_trials=self.config.n_trials,
                    timeout=left,
                    n_jobs=self.config.n_jobs,
                    executor="inline" if self.in_one_process else "processes",
                    clock=self._clock,
                    on_event=tell,
                    # a second thread gains little on small networks and loses much to neighbours
                    threads=1,
                )
                if left is None or any(trial.rung >= 0 for trial in study.trials):
                    return
                if not any(trial.state is TrialState.PENDING for trial in study.trials):
                    return
                # the first trunk goes on: what the final training extends is not lost time
                self.watcher.note("no first rung is finished yet; the search goes on until one is")
        finally:
            seconds = before + self._clock() - started
            self.store.put_note(self.name, "search_seconds", seconds)

    def select(self, study: Study) -> Finalist:
        """Finalists on the selection split; the winner of the search."""
        stored = self._stored_note("finalists")
        if stored:
            return validate(Finalist, stored[0], source="the stored finalists")
        self.begin("select among the finalists")
        started, worked = self._clock(), self._job_seconds()
        trials = study.trials
        # a trial whose checkpoint the disk budget took can no longer be finished
        kept = [one for one in trials if one.rung < 0 or last_rung(one).checkpoint_out]
        chosen = choose_finalists(kept, count=self.config.plan.finalists, horizon=self._horizon)
        if not chosen:
            raise EvaluationError(
                "no candidate finished its first rung; give the search more time, "
                "or see 'archsmith status' for what failed"
            )
        cool = self.budget is None or self.budget.search_seconds >= _COOLED_FROM_SECONDS

        def weights_of(trial: TrialRecord) -> tuple[Path, bool]:
            last = last_rung(trial)
            if not cool:
                return study.checkpoint_root / last.checkpoint_out, False
            done = study.extend(
                trial,
                train_bytes=last.train_bytes,
                options={"cooldown": True},
                on_event=self.watcher.event,
                threads=1,
            )
            return study.checkpoint_root / str(done.details["weights"]), True

        found = select(
            chosen,
            weights_of=weights_of,
            tokens_for=lambda size: self.workspace.tokens(Split.SELECTION, size),
            protocol=self.rung_protocol,
            horizon=self._horizon,
            trials=trials,
            tasks_of=self._task_errors,
        )
        self.store.put_note(self.name, "finalists", [one.model_dump(mode="json") for one in found])
        # cooldowns are jobs, which enter the ledger by themselves
        extended = self._job_seconds() - worked
        self._spend("select", max(self._clock() - started - extended, 0.0))
        return found[0]

    def train(
        self,
        study: Study,
        winner: Finalist,
        recipe: Recipe,
        *,
        max_seconds: float | None = None,
        num_threads: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainedModel:
        """Extend the winner's trunk over the time left, cool it down."""
        trial = next(one for one in study.trials if one.number == winner.trial)
        train_bytes = None
        if max_seconds is None and self.budget is not None:
            max_seconds = self.budget.training_seconds
        if max_seconds is None:
            train_bytes = self.config.plan.train_bytes
        self.begin("final training", max_seconds)
        started, flops = self._clock(), 0.0
        trunk = last_rung(trial)
        try:
            model = self._train_arm(
                WINNER,
                trial.architecture,
                recipe=recipe,
                output_dir=self.workspace.output_dir / "winner" / f"trial-{trial.number}",
                max_seconds=max_seconds,
                train_bytes=train_bytes,
                checkpoint=study.checkpoint_root / trunk.checkpoint_out,
                num_threads=num_threads or min(self.threads, lone_threads()),
                should_stop=should_stop,
            )
            flops = model.record.flops - float(trunk.details.get("flops", 0.0))
            return model
        finally:
            self._spend("final training", self._clock() - started, flops=flops)

    def hand_over(
        self, model: TrainedModel, *, name: str = WINNER, kind: str = "search", trial: int | None
    ) -> Handover:
        """Write the files, prove them, score them."""
        self.begin(f"export and check: {name}")
        started = self._clock()
        done = hand_over(
            model,
            name=name,
            kind=kind,
            output_dir=self.model_dir(name),
            yardstick=self.yardstick,
            trial=trial,
            metadata={"study": self.name, "corpus_hash": self.workspace.corpus.hash},
            report=self.watcher.progress,
        )
        errors = task_errors(Path(done.gguf), self.config.objectives, self.root)
        self._spend("export", self._clock() - started)
        arm = done.arm.model_copy(update={"metrics": {**done.arm.metrics, **errors}})
        return done.model_copy(update={"arm": arm})

    def model_dir(self, name: str = WINNER) -> Path:
        """Where an arm's exported files lie."""
        return self.workspace.output_dir / "models" / folder_name(name)

    def floors(self) -> list[ArmResult]:
        """The n-gram model and xz on the same text."""
        self.begin("n-gram model and xz")
        started = self._clock()
        found = measure_floors(self.workspace.corpus, Split.TEST, self.config.protocol)
        self._spend("floors", self._clock() - started)
        return found

    def record_arms(self, arms: list[ArmResult]) -> None:
        """Keep the final comparison; the report is made from it."""
        self.store.put_note(self.name, "arms", [arm.model_dump(mode="json") for arm in arms])
        self.store.put_note(self.name, "phase", "done")

    def run(self, *, should_stop: Callable[[], bool] = lambda: False) -> list[ArmResult]:
        """All phases; returns the rows of the comparison, the stored ones once they are there."""
        if self.finished:
            self.watcher.note("this search is finished; give another study_name to start a new one")
            return [ArmResult.model_validate(arm) for arm in self._stored_note("arms")]
        self.prepare()
        suggestion = self.suggestion()
        study = self.study(suggestion)
        recipe = self.calibrated_recipe(suggestion)
        self.search(study, recipe)
        winner = self.select(study)
        model = self.train(study, winner, recipe, should_stop=should_stop)
        self.train_baselines(recipe, winner_record=model.record)
        done = self.hand_over(model, trial=winner.trial)
        arms = [done.arm, *(self.baseline(name) for name in self.baselines), *self.floors()]
        self.record_arms(arms)
        return arms

    def train_baselines(self, recipe: Recipe, *, winner_record: TrainingRecord) -> None:
        """Train each baseline in a process of its own, one core each, as many as there are cores.

        Each gets as many core-seconds as calibration, search and final training together; without
        a timeout, as much text as the winner.
        """
        if not self.config.baselines:
            return
        budget, problem = self.budget, self.workspace.problem()
        seconds = None
        if budget is not None:
            searched = budget.calibration_seconds + budget.search_seconds
            seconds = searched * self.config.n_jobs + budget.training_seconds * self.threads
        self.begin("train the baselines", None if budget is None else budget.baselines_seconds)
        waiting = list(self.config.baselines)
        while waiting:
            group, waiting = waiting[: self.threads], waiting[self.threads :]
            running = [
                ArmProcess(
                    self.arm_task(
                        BASELINES[kind],
                        fitted(problem, registry.find("strategies", kind)(), target=self.target),
                        recipe=recipe,
                        max_seconds=seconds,
                        train_bytes=winner_record.train_bytes if seconds is None else None,
                    ),
                    on_progress=self.watcher.training,
                )
                for kind in group
            ]
            wait_for(running)

    def baseline(self, name: str) -> ArmResult:
        """Hand over a baseline that was trained; its row of the comparison."""
        model = load_model_folder(self.arm_dir(name))
        self._spend_once(name, model.record)
        arm = self.hand_over(model, name=name, kind="baseline", trial=None).arm
        if name == MAXIMIZER:
            arm = arm.model_copy(update={"details": {**arm.details, "role": "maximizer"}})
        return arm

    # parts

    def evaluator(self, recipe: Recipe) -> Any:
        """What every candidate is trained and scored by."""
        from archsmith.evaluators.trunk_training import TrunkTraining

        assert self.workspace.tokenizer
        return TrunkTraining(
            corpus=self.workspace.corpus.directory,
            tokenizer=self.workspace.tokenizer_path,
            token_files=self.workspace.tokens_dir,
            recipe=recipe,
            protocol=self.rung_protocol,
            clock="cpu" if self.in_one_process else "wall",
        )

    @cached_property
    def yardstick(self) -> Yardstick:
        """What every arm is measured with: the sealed test split, opened here for the first time.

        Its opening is noted with the time.
        """
        opened = self._stored_note("test_opened") or []
        self.store.put_note(
            self.name, "test_opened", [*opened, {"time": time.time(), "what": "search"}]
        )
        corpus = self.workspace.corpus
        return Yardstick(
            protocol=self.config.protocol,
            tokens_for=self.test_tokens,
            prompts=prompts(corpus, Split.TEST, count=24, seed=self.config.seed),
            verbatim=build_index(corpus),
            target=self.target,
        )

    def test_tokens(self, vocab_size: int) -> TokenFile:
        """The sealed test split in a vocabulary."""
        return self.workspace.tokens(Split.TEST, vocab_size)

    def arm_dir(self, name: str) -> Path:
        """Where a baseline's model folder lies."""
        return self.workspace.output_dir / "arms" / folder_name(name)

    def arm_task(
        self,
        name: str,
        architecture: Architecture,
        *,
        recipe: Recipe,
        max_seconds: float | None = None,
        train_bytes: int | None = None,
        num_threads: int = 1,
    ) -> ArmTask:
        """A baseline to be trained in a process of its own."""
        assert self.workspace.tokenizer
        return ArmTask(
            name=name,
            architecture=architecture,
            corpus=self.workspace.corpus.directory,
            tokenizer=self.workspace.tokenizer_path,
            tokens_dir=self.workspace.tokens_dir,
            recipe=recipe,
            protocol=self.rung_protocol,
            output_dir=self.arm_dir(name),
            max_seconds=max_seconds,
            train_bytes=train_bytes,
            seed=self.config.seed,
            num_threads=num_threads,
        )

    @property
    def rung_protocol(self) -> ScoringProtocol:
        """How readings along the way are scored: the study's protocol on fewer bytes."""
        bound = self.config.protocol.max_bytes or RUNG_SCORE_BYTES
        return self.config.protocol.model_copy(update={"max_bytes": min(bound, RUNG_SCORE_BYTES)})

    def _train_arm(
        self, name: str, architecture: Architecture, *, recipe: Recipe, **options: Any
    ) -> TrainedModel:
        size = architecture.vocab_size
        return train_interruptibly(
            architecture,
            train_tokens=self.workspace.tokens(Split.TRAIN, size),
            validation_tokens=self.workspace.tokens(Split.SEARCH, size),
            tokenizer=self.workspace.tokenizer_for(size),
            recipe=recipe,
            protocol=self.rung_protocol,
            seed=self.config.seed,
            on_progress=lambda progress: self.watcher.training(name, progress),
            clock=self._clock,
            **options,
        )

    def _task_errors(
        self, architecture: Architecture, weights: Mapping[str, np.ndarray]
    ) -> Mapping[str, float]:
        """Error rates of weights on the user's tasks, through an exported file."""
        if not any(map(is_task, self.config.objectives)):
            return {}
        with tempfile.TemporaryDirectory(prefix="archsmith-task-") as folder:
            path = Path(folder) / "finalist.gguf"
            GGUF.write(
                path,
                weights=weights,
                architecture=architecture,
                tokenizer=self.workspace.tokenizer_for(architecture.vocab_size),
                metadata={},
            )
            return task_errors(path, self.config.objectives, self.root)

    def _calibrate(self, suggestion: Suggestion, seconds: float) -> None:
        self.begin("calibrate the learning rate", seconds)
        started = self._clock()
        chosen = suggestion.of_each_kind()
        found = Calibration.of(
            self._calibrate_kind(architecture, suggestion, seconds / len(chosen))
            for architecture in chosen
        )
        self.store.put_note(self.name, "calibration", found.model_dump(mode="json"))
        trained = sum(run.train_seconds for run in found.runs)
        self._spend("calibration", max(self._clock() - started, trained))

    def _calibrate_kind(
        self, architecture: Architecture, suggestion: Suggestion, seconds: float
    ) -> KindCalibration:
        jobs = self.config.n_jobs
        # runs come in two rounds: three rates, then two; each ends with a cooldown
        rounds = -(-3 // jobs) + -(-(NUM_RUNS - 3) // jobs)
        each = seconds / rounds / (1.0 + self.config.training.cooldown_fraction)
        tokens = each * suggestion.flops_per_second / 3.0 / architecture.flops_per_token()
        train_bytes = tokens * self.workspace.bytes_per_token[architecture.vocab_size]
        return calibrate(
            self.evaluator(self.config.training),
            architecture,
            train_bytes=max(round(train_bytes), 1),
            n_jobs=jobs,
            num_threads=max(1, num_usable_cores() // jobs),
            seed=self.config.seed,
            on_run=lambda run: self.watcher.note(
                f"{'experts' if architecture.has_experts else 'dense'}: "
                f"learning rate {run.learning_rate:g} (embeddings "
                f"{run.embedding_learning_rate:g}): {run.bits_per_byte or 'diverged'}"
            ),
        )

    def _rungs(self, suggestion: Suggestion) -> tuple[Rung, ...]:
        """The ladder; a continued study keeps the one it was started with."""
        if self._exists():
            return tuple(Rung.model_validate(r) for r in self.store.study(self.name).spec["rungs"])
        return plan_ladder(self.config, suggestion, self.workspace.bytes_per_token)

    def _halving(self) -> Halving:
        """The strategy's own discipline, else the ladder: with the loss as the one thing learned it
        halves by what is predicted for the final training. A continued study keeps its own."""
        if self._exists():
            return Halving.model_validate(self.store.study(self.name).spec["halving"])
        alone = search_objectives(self.config.objectives) == ("bits_per_byte",)
        seconds = self.budget.training_seconds if self.budget is not None and alone else None
        own: Halving | None = self.config.strategy.halving()
        return own or Halving(
            eta=self.config.plan.reduction_factor, horizon_seconds=seconds or None
        )

    @property
    def _horizon(self) -> Horizon:
        """The final training: its seconds, or without a timeout its text."""
        if self.budget is not None:
            return Horizon(self.budget.training_seconds, in_bytes=False)
        plan = self.config.plan.train_bytes
        assert plan is not None
        return Horizon(float(plan), in_bytes=True)

    def _share_of_search(self) -> float:
        """Of the search's time, what is left for trials beside the finalists."""
        assert self.budget is not None
        return 0.85 if self.budget.search_seconds >= _COOLED_FROM_SECONDS else 0.95

    def begin(self, phase: str, seconds: float | None = None) -> None:
        """Tell the watcher and the store what happens now."""
        self.watcher.phase(phase, seconds)
        if self._exists():
            self.store.put_note(self.name, "phase", phase)

    def _exists(self) -> bool:
        try:
            self.store.study(self.name)
        except StoreError:
            return False
        return True

    def _stored_note(self, key: str) -> Any:
        if key in self._notes:
            return self._notes[key]
        return self.store.notes(self.name).get(key) if self._exists() else None

    def _searched_seconds(self) -> float:
        return float(self._stored_note("search_seconds") or 0.0)

    def _spend(self, phase: str, seconds: float, *, flops: float = 0.0) -> None:
        """Enter seconds of work: processes that worked side by side are added up."""
        self.store.spend(self.name, phase, seconds=seconds, flops=flops)

    def _spend_once(self, name: str, record: TrainingRecord) -> None:
        """Enter a baseline's training, also if its hand-over is begun again."""
        entered = list(self._stored_note("baselines_entered") or ())
        if name not in entered:
            self._spend("baselines", record.wall_seconds, flops=record.flops)
            self.store.put_note(self.name, "baselines_entered", [*entered, name])

    def _job_seconds(self) -> float:
        """Seconds of all jobs so far; an entry of a job names its trial."""
        entries = self.store.ledger(self.name)
        return sum(entry.seconds for entry in entries if entry.number is not None)


def plan_budget(config: SearchConfig) -> Budget:
    """How the file's timeout is divided. Raises ConfigError where it is too short."""
    assert config.timeout is not None
    cores = num_usable_cores()
    return divide(
        config.timeout,
        calibrate=config.plan.calibrate,
        search_share=config.plan.search_share,
        baseline_rounds=-(-len(config.baselines) // cores),
        num_cores=max(cores, config.n_jobs),
    )


def plan_ladder(
    config: SearchConfig, suggestion: Suggestion, bytes_per_token: Mapping[int, float]
) -> tuple[Rung, ...]:
    """The rungs: shares of the text the suggestion can be trained on in the time there is."""
    recipe, architecture = config.training, suggestion.architecture
    context = architecture.max_position_embeddings
    batch_bytes = recipe.batch_size(context) * context * bytes_per_token[architecture.vocab_size]
    return tuple(
        plan_rungs(
            config.plan.rungs,
            plan_bytes=config.plan.train_bytes or suggestion.rows[0].train_bytes,
            min_bytes=round(max(2 * recipe.warmup_steps, LEAST_UPDATES) * batch_bytes),
        )
    )


def folder_name(name: str) -> str:
    """An arm's name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def last_rung(trial: TrialRecord) -> Any:
    """The job of the highest rung a trial finished."""
    done = [j for j in trial.jobs if j.kind is JobKind.RUNG and j.state is JobState.DONE]
    return max(done, key=lambda job: job.rung)


def make_suggestion(
    workspace: Workspace,
    *,
    recipe: Recipe,
    seconds: float | None,
    train_bytes: int | None,
    num_threads: int,
) -> Suggestion:
    """Measure the corpus and this machine for a moment, then ask the prior."""
    corpus, problem = workspace.corpus, workspace.problem()
    require_feasible(problem)
    difficulty = (
        NGramModel.fit(corpus, order=6, max_bytes=_CORPUS_SAMPLE_BYTES)
        .score(corpus, Split.SEARCH, ScoringProtocol(max_bytes=_DIFFICULTY_BYTES))
        .bits_per_byte
    )
    reference = _reference_architecture()
    speed = measure_speed(
        reference,
        tokens_per_second=lambda architecture: training_tokens_per_second(
            architecture, recipe=recipe, num_threads=num_threads
        ),
        threads=num_threads,
    )
    return suggest(
        problem,
        bytes_per_token=workspace.bytes_per_token,
        corpus_bits_per_byte=difficulty,
        speed=speed,
        corpus_train_bytes=corpus.split_bytes(Split.TRAIN),
        seconds=None if train_bytes is not None else seconds,
        train_bytes=train_bytes,
    )


def _reference_architecture() -> Architecture:
    """What training speed is measured on: 1.3M parameters, an update takes a fraction of a second.

    Larger networks reach more FLOPs per second, so times predicted for them are on the long side.
    """
    return scaled_llama(160, vocab_size=1024, context_tokens=256, quantization="Q8_0")

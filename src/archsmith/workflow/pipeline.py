"""The whole job in phases, each of which finds what an earlier start left and goes on from there.

    prepare ─► suggest ─► calibrate ─► search ─► select ─► train ─► hand over ─► compare ─► report

Everything a phase decides is a note in the store before the next one begins; the report is made
from the store alone.
"""

import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.config import validate
from archsmith.data.completion import prompts
from archsmith.data.corpus import Split
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.storage import make_folder
from archsmith.data.token_file import TokenFile
from archsmith.data.verbatim import build_index
from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.profile import lone_threads, training_profile
from archsmith.device.target import Target, load_target
from archsmith.errors import ConfigError
from archsmith.halving.settings import Halving
from archsmith.store.store import Store, connect
from archsmith.store.urls import resolve_storage
from archsmith.study import Study, create_study
from archsmith.train.recipe import Recipe
from archsmith.trial import ArmResult, Rung
from archsmith.workflow.arms import ArmTask
from archsmith.workflow.baselines import BASELINES, MAXIMIZER, folder_name, train_side_by_side
from archsmith.workflow.calibrating import calibrate_suggestions
from archsmith.workflow.calibration import Calibration, scaled_rates
from archsmith.workflow.finalist_jobs import FinalistJobs
from archsmith.workflow.fitting import fitted, measure_latency
from archsmith.workflow.floors import measure_floors
from archsmith.workflow.handover import Handover, Yardstick, hand_over
from archsmith.workflow.inherited_finalists import InheritedSelecting, select_inherited
from archsmith.workflow.inheriting import (
    Inheriting,
    inherited_rung,
    inheriting_for,
    read_plan,
    settle_plan,
    trunk_training,
)
from archsmith.workflow.model_folder import TrainedModel, TrainingRecord, load_model_folder
from archsmith.workflow.planning import plan_budget, plan_ladder
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.searching import run_search
from archsmith.workflow.selecting import Selecting
from archsmith.workflow.selection import Finalist, Horizon, trunk_to_extend
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggesting import make_suggestion
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.tasks import check_tasks, search_objectives, task_errors
from archsmith.workflow.training import train_interruptibly
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import Workspace

WINNER = "search winner"
# Held-out text scored at a rung. Candidates are compared on the same bytes, so the text's own
# variance cancels; twice as much would read more tokens than the shortest rungs train on.
RUNG_SCORE_BYTES = 1 << 16


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
        self._notes = StudyNotes(lambda: self.store, config.study_name)

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
        return bool(self._notes.get("arms"))

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
        self._notes.wait("corpus", self.workspace.corpus.report.model_dump(mode="json"))
        self._notes.wait("environment", environment().model_dump(mode="json"))
        assert self.workspace.vocabularies
        for size in encode:
            for split in (Split.TRAIN, Split.SEARCH, Split.SELECTION):
                self.workspace.tokens(split, size)
        self._notes.wait_seconds("prepare", self._clock() - started)

    def suggestion(self) -> Suggestion:
        """What the search starts from; noted once, so that a second start has the same."""
        stored = self._notes.get("suggestion")
        if stored:
            return validate(Suggestion, stored, source="the stored suggestion")
        self.begin("suggest")
        found = make_suggestion(
            self.workspace,
            recipe=self.config.training,
            seconds=None if self.budget is None else self.budget.training_seconds,
            train_bytes=self.config.plan.train_bytes,
            num_threads=1,
            clock=time.process_time if self.in_one_process else time.perf_counter,
        )
        self._notes.wait("suggestion", found.model_dump(mode="json"))
        return found

    def study(self, suggestion: Suggestion, *, start_rows: int | None = None) -> Study:
        """The study, made or continued; it begins with the suggestion's first `start_rows` rows."""
        planned = settle_plan(self._inheriting, self._notes, clock=self._clock)
        if planned is not None and planned.warning:
            self.watcher.note(planned.warning)
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
        self._notes.write()
        self._notes.put("command", self._command)
        if not self._notes.get("verdict"):  # fixed once, before anything is trained
            primary = {"primary_baseline": MAXIMIZER, "margin": 0.005, "time": time.time()}
            self._notes.put("verdict", primary)
        if self.budget is not None:
            self._notes.put("plan", dict(self.budget.lines()))
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
        stored = self._notes.get("calibration")
        if not stored and (self.budget is None or self.budget.calibration_seconds == 0.0):
            return self.config.training
        if not stored:
            assert self.budget is not None
            self._calibrate(suggestion, self.budget.calibration_seconds)
        return self.stored_recipe()

    def stored_recipe(self) -> Recipe:
        """The recipe with the rates of an earlier calibration, if there was one."""
        stored = self._notes.get("calibration")
        if not stored:
            return self.config.training
        found = validate(Calibration, stored, source="the stored calibration")
        return self.config.training.model_copy(update=found.recipe_changes())

    def search(self, study: Study, recipe: Recipe) -> None:
        """Propose, reject, train, promote, until trials or time are up."""
        self.begin("search", None if self.budget is None else self.budget.search_seconds)
        run_search(
            study,
            self.evaluator(recipe),
            config=self.config,
            budget=self.budget,
            notes=self._notes,
            watcher=self.watcher,
            executor=self._executor,
            clock=self._clock,
            is_enough=self._selecting(study).has_enough,
        )

    def select(self, study: Study) -> Finalist:
        """Finalists on the selection split; the winner of the search."""
        stored = self._notes.get("finalists")
        if stored:
            return validate(Finalist, stored[0], source="the stored finalists")
        self.begin("select among the finalists")
        return self._selecting(study).finalists()[0]

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
        """Extend the winner's trunk over the time left, cool it down.

        Where other rates were found to be better, it is the trunk that was trained with them; where
        its score was inherited and it was not trained since, it begins from scratch.
        """
        trial = next(one for one in study.trials if one.number == winner.trial)
        train_bytes = None
        if max_seconds is None and self.budget is not None:
            max_seconds = self.budget.training_seconds
        if max_seconds is None:
            train_bytes = self.config.plan.train_bytes
        self.begin("final training", max_seconds)
        started, flops = self._clock(), 0.0
        trunk = trunk_to_extend(trial, winner)
        before = 0.0 if trunk is None else float(trunk.details.get("flops", 0.0))
        if winner.rate_factor != 1.0:
            rates = scaled_rates(recipe, trial.architecture, winner.rate_factor)
            recipe = recipe.model_copy(update=rates)
        try:
            model = self._train_arm(
                WINNER,
                trial.architecture,
                recipe=recipe,
                output_dir=self.workspace.output_dir / "winner" / f"trial-{trial.number}",
                max_seconds=max_seconds,
                train_bytes=train_bytes,
                checkpoint=None if trunk is None else study.checkpoint_root / trunk.checkpoint_out,
                num_threads=num_threads or min(self.threads, lone_threads()),
                should_stop=should_stop,
            )
            flops = model.record.flops - before
            return model
        finally:
            self._notes.spend("final training", self._clock() - started, flops=flops)

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
        self._notes.spend("export", self._clock() - started)
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
        self._notes.spend("floors", self._clock() - started)
        return found

    def record_arms(self, arms: list[ArmResult]) -> None:
        """Keep the final comparison; the report is made from it."""
        self._notes.put("arms", [arm.model_dump(mode="json") for arm in arms])
        self._notes.put("phase", "done")

    def run(self, *, should_stop: Callable[[], bool] = lambda: False) -> list[ArmResult]:
        """All phases; returns the rows of the comparison, the stored ones once they are there."""
        if self.finished:
            self.watcher.note("this search is finished; give another study_name to start a new one")
            return [ArmResult.model_validate(arm) for arm in self._notes.get("arms")]
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
        tasks = [
            self.arm_task(
                BASELINES[kind],
                fitted(problem, registry.find("strategies", kind)(), target=self.target),
                recipe=recipe,
                max_seconds=seconds,
                train_bytes=winner_record.train_bytes if seconds is None else None,
            )
            for kind in self.config.baselines
        ]
        train_side_by_side(tasks, at_once=self.threads, on_progress=self.watcher.training)

    def baseline(self, name: str) -> ArmResult:
        """Hand over a baseline that was trained; its row of the comparison."""
        model = load_model_folder(self.arm_dir(name))
        self._notes.spend_once(name, model.record)
        arm = self.hand_over(model, name=name, kind="baseline", trial=None).arm
        if name == MAXIMIZER:
            arm = arm.model_copy(update={"details": {**arm.details, "role": "maximizer"}})
        return arm

    # parts

    def evaluator(self, recipe: Recipe) -> Any:
        """What every candidate is scored by: trained by itself, or with inherited weights."""
        if self._inheriting is None:
            return self.trunk_training(recipe)
        planned = read_plan(self._notes)
        assert planned is not None, "shared weights are planned before the study begins"
        return self._inheriting.evaluator(recipe, planned.plan)

    def trunk_training(self, recipe: Recipe) -> Any:
        """What trains and scores every network by itself."""
        clock: Literal["wall", "cpu"] = "cpu" if self.in_one_process else "wall"
        return trunk_training(self.workspace, recipe, protocol=self.rung_protocol, clock=clock)

    @cached_property
    def _inheriting(self) -> Inheriting | None:
        """Weights that all candidates share, where the search file asks for them."""
        return inheriting_for(
            self.config,
            self.workspace,
            trunk=self.trunk_training,
            search_seconds=None if self.budget is None else self.budget.search_seconds,
        )

    @cached_property
    def yardstick(self) -> Yardstick:
        """What every arm is measured with: the sealed test split, opened here for the first time.

        Its opening is noted with the time.
        """
        opened = self._notes.get("test_opened") or []
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

    def _selecting(self, study: Study) -> Selecting | InheritedSelecting:
        """The selection among a study's finalists."""
        jobs = FinalistJobs(
            study=study,
            workspace=self.workspace,
            recipe=self.stored_recipe(),
            protocol=self.rung_protocol,
            watcher=self.watcher,
            executor=self._executor,
            clock=self._clock,
        )
        if self._inheriting is not None:
            return select_inherited(
                jobs, suggestion=self.suggestion(), budget=self.budget, notes=self._notes
            )
        return Selecting(jobs=jobs, horizon=self._horizon, budget=self.budget, notes=self._notes)

    def _calibrate(self, suggestion: Suggestion, seconds: float) -> None:
        self.begin("calibrate the learning rate", seconds)
        started = self._clock()
        found = calibrate_suggestions(
            suggestion,
            self.trunk_training(self.config.training),
            config=self.config,
            bytes_per_token=self.workspace.bytes_per_token,
            seconds=seconds,
            note=self.watcher.note,
        )
        self._notes.put("calibration", found.model_dump(mode="json"))
        trained = sum(run.train_seconds for run in found.runs)
        self._notes.spend("calibration", max(self._clock() - started, trained))

    def _rungs(self, suggestion: Suggestion) -> tuple[Rung, ...]:
        """The ladder; a continued study keeps the one it was started with."""
        if self._notes.exist:
            return tuple(Rung.model_validate(r) for r in self.store.study(self.name).spec["rungs"])
        planned = read_plan(self._notes)
        if planned is not None:
            return (inherited_rung(planned, self.config, suggestion),)
        return plan_ladder(self.config, suggestion, self.workspace.bytes_per_token)

    def _halving(self) -> Halving:
        """The strategy's own discipline, else the ladder: with the loss as the one thing learned it
        halves by what is predicted for the final training. A continued study keeps its own."""
        if self._notes.exist:
            return Halving.model_validate(self.store.study(self.name).spec["halving"])
        alone = search_objectives(self.config.objectives) == ("bits_per_byte",)
        alone = alone and self._inheriting is None
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

    @property
    def _executor(self) -> Literal["processes", "inline"]:
        """Where jobs run."""
        return "inline" if self.in_one_process else "processes"

    def begin(self, phase: str, seconds: float | None = None) -> None:
        """Tell the watcher and the store what happens now."""
        self.watcher.phase(phase, seconds)
        if self._notes.exist:
            self._notes.put("phase", phase)

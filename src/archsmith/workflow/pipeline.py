"""The whole job in phases, each of which finds what an earlier start left and goes on from there.

    prepare ─► suggest ─► calibrate ─► search ─► select ─► train ─► hand over ─► compare ─► report

Everything a phase decides is a note in the store before the next one begins; the report is made
from the store alone.
"""

import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.config import validate
from archsmith.data.splits import Split
from archsmith.data.storage import make_folder
from archsmith.device.environment import environment, num_usable_cores
from archsmith.device.profile import lone_threads, training_profile
from archsmith.store.store import Store, connect
from archsmith.store.urls import resolve_storage
from archsmith.study import Study
from archsmith.train.recipe import Recipe
from archsmith.trial import ArmResult, Rung
from archsmith.workflow.arm_training import ArmTask, arm_details, arm_spent
from archsmith.workflow.baselines import (
    MAXIMIZER,
    WINNER,
    arm_dir,
    arm_task,
    train_baselines,
)
from archsmith.workflow.calibrating import calibrated, is_calibrated, note_calibration
from archsmith.workflow.candidates import Candidates
from archsmith.workflow.comparison import Comparison
from archsmith.workflow.final_training import train_network, train_winner
from archsmith.workflow.handover import Handover
from archsmith.workflow.inherited_finalists import InheritedSelecting
from archsmith.workflow.model_folder import TrainedModel, TrainingRecord, load_model_folder
from archsmith.workflow.planning import plan_budget
from archsmith.workflow.recommended import link_recommended, recommended_arm, trained_folder
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.search_study import ladder, note_terms, open_study
from archsmith.workflow.searching import run_search
from archsmith.workflow.selecting import Selecting
from archsmith.workflow.selection import Finalist
from archsmith.workflow.study_notes import BASELINE_TRAINING, StudyNotes
from archsmith.workflow.suggesting import make_suggestion
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.tasks import check_tasks
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import Workspace


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
    def store(self) -> Store:
        """The study's database, made if it is missing."""
        make_folder(self.workspace.output_dir)
        return connect(resolve_storage(self.config.storage, self.root), create=True)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.study_name

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
        if not self._notes.exist:
            self.config.strategy.check_files(self.root)
        target = self.workspace.target
        if target is not None:
            self.watcher.note(f"milliseconds are predicted for {target.name}, not measured")
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
        started = self._clock()
        found = make_suggestion(
            self.workspace,
            recipe=self.config.training,
            seconds=None if self.budget is None else self.budget.training_seconds,
            train_bytes=self.config.plan.train_bytes,
            num_threads=1,
            clock=time.process_time if self.in_one_process else time.perf_counter,
        )
        self._notes.wait("suggestion", found.model_dump(mode="json"))
        self._notes.wait_seconds("suggest", self._clock() - started)
        return found

    def study(self, suggestion: Suggestion, *, start_rows: int | None = None) -> Study:
        """The study, made or continued; it begins with the suggestion's first `start_rows` rows."""
        self._candidates.settle()
        study = open_study(
            suggestion,
            workspace=self.workspace,
            store=self.store,
            notes=self._notes,
            budget=self.budget,
            start_rows=start_rows,
        )
        note_terms(self._notes, command=self._command, budget=self.budget)
        return study

    def rungs(self, suggestion: Suggestion) -> tuple[Rung, ...]:
        """The ladder; a continued study keeps the one it was started with."""
        return ladder(suggestion, workspace=self.workspace, notes=self._notes)

    def calibrated_recipe(self, suggestion: Suggestion) -> Recipe:
        """The recipe with calibrated rates where the budget has time for that."""
        seconds = 0.0 if self.budget is None else self.budget.calibration_seconds
        if seconds and not is_calibrated(self._notes):
            self.begin("calibrate the learning rate", seconds)
            note_calibration(
                suggestion,
                self._candidates.trunk_training(self.config.training),
                workspace=self.workspace,
                seconds=seconds,
                note=self.watcher.note,
                notes=self._notes,
                clock=self._clock,
            )
        return self.stored_recipe()

    def stored_recipe(self) -> Recipe:
        """The recipe with the rates of an earlier calibration, if there was one."""
        return calibrated(self.config.training, self._notes)

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
            executor=self._candidates.executor,
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
        """Extend the winner's trunk over the time left, cool it down."""
        if max_seconds is None and self.budget is not None:
            max_seconds = self.budget.training_seconds
        self.begin("final training", max_seconds)
        return train_winner(
            study,
            winner,
            recipe,
            workspace=self.workspace,
            notes=self._notes,
            watcher=self.watcher,
            clock=self._clock,
            max_seconds=max_seconds,
            num_threads=num_threads or min(self.threads, lone_threads()),
            should_stop=should_stop,
        )

    def train_baselines(self, recipe: Recipe, *, winner_record: TrainingRecord) -> list[str]:
        """Train the file's baselines, tuned, for what the ledger says all this took the winner;
        the names of those that are there now."""
        if not self.config.baselines:
            return []
        return train_baselines(
            self.workspace,
            recipe=recipe,
            notes=self._notes,
            watcher=self.watcher,
            num_cores=self.threads,
            winner=winner_record,
            begin=partial(self.begin, "train the baselines"),
            in_one_process=self.in_one_process,
        )

    def hand_over(
        self, model: TrainedModel, *, name: str = WINNER, kind: str = "search", trial: int | None
    ) -> Handover:
        """Write the files, prove them, score them."""
        self.begin(f"export and check: {name}")
        return self._comparison.hand_over(model, name=name, kind=kind, trial=trial)

    def baseline(self, name: str) -> ArmResult:
        """Hand over a baseline that was trained; its row of the comparison."""
        folder = arm_dir(self.workspace, name)
        model = load_model_folder(folder)
        seconds, flops = arm_spent(folder, model.record)
        self._notes.spend_once(BASELINE_TRAINING, seconds=seconds, flops=flops)
        arm = self.hand_over(model, name=name, kind="baseline", trial=None).arm
        told = {**arm.details, **arm_details(folder, model.record)}
        arm = arm.model_copy(update={"details": told})
        if name == MAXIMIZER:
            arm = arm.model_copy(update={"details": {**arm.details, "role": "maximizer"}})
        return arm

    def floors(self) -> list[ArmResult]:
        """The n-gram model and xz on the same text."""
        self.begin("n-gram model and xz")
        return self._comparison.floors()

    def record_arms(self, arms: list[ArmResult]) -> None:
        """Keep the final comparison; the report is made from it."""
        self._notes.put("arms", [arm.model_dump(mode="json") for arm in arms])
        self._notes.put("phase", "done")
        link_recommended(self.workspace, recommended_arm(self.store, self.name))

    def recommended(self) -> tuple[str, TrainedModel] | None:
        """The arm a finished search recommends and its model; None where nothing is finished or
        recommended. Raises ConfigError, CheckpointError where its folder is gone or damaged."""
        name = recommended_arm(self.store, self.name) if self.finished else None
        if name is None:
            return None
        return name, load_model_folder(trained_folder(self.workspace, name, self._notes))

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
        names = self.train_baselines(recipe, winner_record=model.record)
        done = self.hand_over(model, trial=winner.trial)
        baselines = [self.baseline(name) for name in names]
        arms = [done.arm, *baselines, *self.floors()]
        self.record_arms(arms)
        return arms

    # parts

    def evaluator(self, recipe: Recipe) -> Any:
        """What every candidate is scored by: trained by itself, or with inherited weights."""
        return self._candidates.evaluator(recipe)

    def train_arm(
        self, name: str, architecture: Architecture, *, recipe: Recipe, **options: Any
    ) -> TrainedModel:
        """Train a network in this process; `options` as `training.train_model`."""
        return train_network(
            self.workspace,
            name,
            architecture,
            recipe=recipe,
            watcher=self.watcher,
            clock=self._clock,
            **options,
        )

    def arm_task(self, name: str, architecture: Architecture, **options: Any) -> ArmTask:
        """A network to be trained in a process of its own; `options` as `baselines.arm_task`."""
        return arm_task(self.workspace, name, architecture, **options)

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(
            workspace=self.workspace,
            notes=self._notes,
            watcher=self.watcher,
            clock=self._clock,
            in_one_process=self.in_one_process,
            search_seconds=None if self.budget is None else self.budget.search_seconds,
        )

    @cached_property
    def _comparison(self) -> Comparison:
        return Comparison(
            workspace=self.workspace,
            notes=self._notes,
            report=self.watcher.progress,
            clock=self._clock,
        )

    def _selecting(self, study: Study) -> Selecting | InheritedSelecting:
        return self._candidates.selection(
            study, recipe=self.stored_recipe(), suggestion=self.suggestion, budget=self.budget
        )

    def begin(self, phase: str, seconds: float | None = None) -> None:
        """Tell the watcher and the store what happens now."""
        self.watcher.phase(phase, seconds)
        if self._notes.exist:
            self._notes.put("phase", phase)

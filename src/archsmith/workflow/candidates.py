"""How candidates are scored and selected: each trained by itself, or with weights they share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from archsmith.budget import Budget
from archsmith.study import Study
from archsmith.train.recipe import Recipe
from archsmith.workflow.finalist_jobs import FinalistJobs
from archsmith.workflow.inherited_finalists import InheritedSelecting, select_inherited
from archsmith.workflow.inheriting import (
    Inheriting,
    inheriting_for,
    read_plan,
    settle_plan,
    trunk_training,
)
from archsmith.workflow.planning import plan_horizon
from archsmith.workflow.selecting import Selecting
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.watcher import Watcher
from archsmith.workflow.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a search does with its candidates, as its file asks.

    Attributes:
        clock: what seconds are measured with.
        in_one_process: jobs run in this process, and what they train for is its CPU seconds.
        search_seconds: of the whole search; None without a timeout.
    """

    workspace: Workspace
    notes: StudyNotes
    watcher: Watcher
    clock: Callable[[], float]
    in_one_process: bool
    search_seconds: float | None

    @property
    def executor(self) -> Literal["processes", "inline"]:
        """Where jobs run."""
        return "inline" if self.in_one_process else "processes"

    def settle(self) -> None:
        """Decide how shared weights are trained, if there are any, before the study begins.

        Raises ConfigError, also where it was begun with other settings of shared weights.
        """
        planned = settle_plan(self._inheriting, self.notes, clock=self.clock)
        if planned is not None and planned.warning:
            self.watcher.note(planned.warning)

    def evaluator(self, recipe: Recipe) -> Any:
        """What every candidate is scored by."""
        if self._inheriting is None:
            return self.trunk_training(recipe)
        planned = read_plan(self.notes)
        assert planned is not None, "shared weights are planned before the study begins"
        return self._inheriting.evaluator(recipe, planned.plan)

    def trunk_training(self, recipe: Recipe) -> Any:
        """What trains and scores every network by itself."""
        clock: Literal["wall", "cpu"] = "cpu" if self.in_one_process else "wall"
        protocol = self.workspace.config.rung_protocol
        return trunk_training(self.workspace, recipe, protocol=protocol, clock=clock)

    def selection(
        self,
        study: Study,
        *,
        recipe: Recipe,
        suggestion: Callable[[], Suggestion],
        budget: Budget | None,
    ) -> Selecting | InheritedSelecting:
        """The selection among a study's finalists, which were trained with `recipe`.

        `suggestion` is asked where finalists' trainings are planned anew, because scores are
        inherited, and where nobody has more than one reading.
        """
        jobs = FinalistJobs(
            study=study,
            workspace=self.workspace,
            recipe=recipe,
            watcher=self.watcher,
            executor=self.executor,
            clock=self.clock,
        )
        if self._inheriting is not None:
            return select_inherited(jobs, suggestion=suggestion(), budget=budget, notes=self.notes)
        horizon = plan_horizon(self.workspace.config, budget)
        return Selecting(
            jobs=jobs, horizon=horizon, suggestion=suggestion, budget=budget, notes=self.notes
        )

    @cached_property
    def _inheriting(self) -> Inheriting | None:
        """Weights that all candidates share, where the search file asks for them."""
        return inheriting_for(
            self.workspace.config,
            self.workspace,
            trunk=self.trunk_training,
            search_seconds=self.search_seconds,
        )

"""Scores with inherited weights in a whole job: what shared weights are trained, and how long.

The first job of the search trains them, within the search's time; every candidate is then scored
with its share of them. How much text they see is decided once, before the study begins, from a
moment's measurement, and noted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from archsmith.config import Spec, validate
from archsmith.data.protocol import ScoringProtocol
from archsmith.errors import ConfigError
from archsmith.train.recipe import Recipe
from archsmith.train.supernet_plan import SupernetPlan
from archsmith.trial import Rung
from archsmith.units import format_bytes
from archsmith.workflow.planning import LEAST_UPDATES
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.supernet_config import SupernetConfig
from archsmith.workflow.workspace import Workspace

NOTE = "supernet"
_MEASURED = "time the supernet"


class PlannedSupernet(Spec):
    """The training of shared weights as it was decided.

    Attributes:
        largest: the network that holds all weights, in words.
        num_members: networks that share them.
        seconds: that the training is expected to take on one core.
        num_updates: of the shared weights.
    """

    plan: SupernetPlan
    largest: str
    num_members: int
    seconds: float
    num_updates: int

    @property
    def warning(self) -> str:
        """Where it is too short to say much; empty otherwise."""
        if self.num_updates >= LEAST_UPDATES:
            return ""
        return (
            f"the supernet gets {self.num_updates} updates "
            f"({format_bytes(self.plan.train_bytes)} of text), fewer than {LEAST_UPDATES}: its "
            "scores will say little; give more time, a larger supernet.share, or train_bytes"
        )


@dataclass(frozen=True, kw_only=True)
class Inheriting:
    """Shared weights for a search.

    Attributes:
        section: `[supernet]` with its method.
        trunk: the evaluator that trains networks by themselves, for a recipe.
        search_seconds: of the whole search; None without a timeout.
    """

    section: SupernetConfig
    workspace: Workspace
    trunk: Callable[[Recipe], Any]
    search_seconds: float | None

    def evaluator(self, recipe: Recipe, plan: SupernetPlan) -> Any:
        """What every candidate is scored by, and trained from scratch by when it goes on."""
        from archsmith.evaluators.supernet import SharedWeightScoring

        config, space = self.workspace.config, self.workspace.space
        names = tuple(branch.family.name for branch in space.branches)
        changes = {"families": names, "vocabularies": self.workspace.vocabularies}
        return SharedWeightScoring(
            folder=self.workspace.output_dir / "supernets",
            space=config.space.model_copy(update=changes),
            limits=config.limits,
            plan=plan,
            trunk=self.trunk(recipe),
        )

    def plan(self, *, clock: Callable[[], float] = time.perf_counter) -> PlannedSupernet:
        """Measure for a moment how fast shared weights are trained here, and decide.

        Raises:
            ConfigError: the space's networks cannot share weights, or not by the method.
            InfeasibleError: none of them meets the limits.
        """
        from archsmith.evaluators.supernet import networks
        from archsmith.evaluators.supernet_speed import measure_pace

        config = self.workspace.config
        draft = self.evaluator(config.training, self.section.plan(1))
        parts = networks(draft)
        pace = measure_pace(draft, seed=config.seed, clock=clock)
        train_bytes = self.section.train_bytes
        if train_bytes is None and self.search_seconds is not None:
            train_bytes = pace.train_bytes(self.section.share * self.search_seconds)
        train_bytes = train_bytes or config.plan.train_bytes
        assert train_bytes is not None, "a search without a timeout has plan.train_bytes"
        updates = -(-train_bytes // max(int(pace.update_bytes), 1))
        return PlannedSupernet(
            plan=self.section.plan(train_bytes),
            largest=parts.largest.summary(),
            num_members=len(parts.members),
            seconds=updates * pace.update_seconds,
            num_updates=updates,
        )


def trunk_training(
    workspace: Workspace,
    recipe: Recipe,
    *,
    protocol: ScoringProtocol,
    clock: Literal["wall", "cpu"] = "wall",
) -> Any:
    """What trains and scores every network by itself."""
    from archsmith.evaluators.trunk_training import TrunkTraining

    assert workspace.tokenizer
    return TrunkTraining(
        corpus=workspace.corpus.directory,
        tokenizer=workspace.tokenizer_path,
        token_files=workspace.tokens_dir,
        recipe=recipe,
        protocol=protocol,
        clock=clock,
    )


def inheriting_for(
    config: SearchConfig,
    workspace: Workspace,
    *,
    trunk: Callable[[Recipe], Any],
    search_seconds: float | None,
) -> Inheriting | None:
    """Shared weights where the search file asks for them."""
    section = config.shared_weights
    if section is None:
        return None
    return Inheriting(
        section=section, workspace=workspace, trunk=trunk, search_seconds=search_seconds
    )


def read_plan(notes: StudyNotes) -> PlannedSupernet | None:
    """What was decided; None where nothing was."""
    stored = notes.get(NOTE)
    return None if not stored else validate(PlannedSupernet, stored["planned"], source=NOTE)


def settle_plan(
    inheriting: Inheriting | None, notes: StudyNotes, *, clock: Callable[[], float]
) -> PlannedSupernet | None:
    """The noted decision, or one made now, which waits to be noted with the study.

    Raises ConfigError, also where the study was begun with other settings of shared weights.
    """
    stored = read_plan(notes)
    if notes.exist or stored is not None:
        wanted = None if inheriting is None else inheriting.section
        _check_same(wanted, stored, notes)
        return stored
    if inheriting is None:
        return None
    started = clock()
    planned = inheriting.plan(clock=clock)
    section = inheriting.section.model_dump(mode="json")
    notes.wait(NOTE, {"planned": planned.model_dump(mode="json"), "section": section})
    notes.wait_seconds(_MEASURED, clock() - started)
    return planned


def inherited_rung(planned: PlannedSupernet, config: SearchConfig, suggestion: Suggestion) -> Rung:
    """The only rung of such a search: scores after the text that the shared weights have seen."""
    train_bytes = planned.plan.train_bytes
    plan_bytes = config.plan.train_bytes or suggestion.rows[0].train_bytes
    return Rung(index=0, fraction=min(train_bytes / plan_bytes, 1.0), train_bytes=train_bytes)


def _check_same(
    wanted: SupernetConfig | None, stored: PlannedSupernet | None, notes: StudyNotes
) -> None:
    """Inherited scores and others, or those of two supernets, never stand in one study."""
    given = None if wanted is None else wanted.model_dump(mode="json")
    before = None if stored is None else notes.get(NOTE)["section"]
    if given != before:
        raise ConfigError(
            f"[supernet] is {given or 'not used'}, and the study was started with "
            f"{before or 'none'}; give another study_name, or the settings it was started with"
        )

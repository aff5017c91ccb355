"""The final comparison: every arm's files, measured with one yardstick on the sealed test split."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from archsmith.data.completion import prompts
from archsmith.data.splits import Split
from archsmith.data.token_file import TokenFile
from archsmith.data.verbatim import build_index
from archsmith.trial import ArmResult
from archsmith.workflow.baselines import model_dir
from archsmith.workflow.floors import measure_floors
from archsmith.workflow.handover import Handover, Yardstick, hand_over
from archsmith.workflow.model_folder import TrainedModel
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.tasks import task_errors
from archsmith.workflow.workspace import Workspace

_OPENED = "test_opened"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What all arms are compared on.

    Attributes:
        report: told how far an export is.
        clock: what seconds are measured with; they are entered in the ledger.
    """

    workspace: Workspace
    notes: StudyNotes
    report: Callable[[str, float], None]
    clock: Callable[[], float]

    def hand_over(
        self, model: TrainedModel, *, name: str, kind: str, trial: int | None
    ) -> Handover:
        """Write an arm's files, prove them, score them. Raises ExportError, GateError."""
        started = self.clock()
        config, root = self.workspace.config, self.workspace.root
        done = hand_over(
            model,
            name=name,
            kind=kind,
            output_dir=model_dir(self.workspace, name),
            yardstick=self._yardstick,
            trial=trial,
            metadata={"study": config.study_name, "corpus_hash": self.workspace.corpus.hash},
            report=self.report,
        )
        errors = task_errors(Path(done.gguf), config.objectives, root)
        self.notes.spend("export", self.clock() - started)
        arm = done.arm.model_copy(update={"metrics": {**done.arm.metrics, **errors}})
        return done.model_copy(update={"arm": arm})

    def floors(self) -> list[ArmResult]:
        """The n-gram model and xz on the same text."""
        started = self.clock()
        corpus, protocol = self.workspace.corpus, self.workspace.config.protocol
        found = measure_floors(corpus, Split.TEST, protocol)
        self.notes.spend("floors", self.clock() - started)
        return found

    @cached_property
    def _yardstick(self) -> Yardstick:
        """What every arm is measured with: the sealed test split, opened here for the first time.

        Its opening is noted with the time.
        """
        opened = self.notes.get(_OPENED) or []
        self.notes.put(_OPENED, [*opened, {"time": time.time(), "what": "search"}])
        config, corpus = self.workspace.config, self.workspace.corpus
        return Yardstick(
            protocol=config.protocol,
            tokens_for=self._tokens,
            prompts=prompts(corpus, Split.TEST, count=24, seed=config.seed),
            verbatim=build_index(corpus),
            target=self.workspace.target,
        )

    def _tokens(self, vocab_size: int) -> TokenFile:
        """The sealed test split in a vocabulary."""
        return self.workspace.tokens(Split.TEST, vocab_size)

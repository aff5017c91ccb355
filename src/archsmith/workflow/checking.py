"""What a search would do, found out without training: the plan that `archsmith check` prints."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from archsmith.budget import Budget
from archsmith.config import Spec
from archsmith.data.splits import Split
from archsmith.trial import Rung
from archsmith.workflow.inheriting import PlannedSupernet, inheriting_for, trunk_training
from archsmith.workflow.planning import plan_budget, plan_ladder
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.suggesting import make_suggestion
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.workspace import Workspace, require_export

# float32 weights, and as much again or twice that of optimizer state
_CHECKPOINT_BYTES_PER_PARAM = 12


class VocabularyPlan(Spec):
    """One vocabulary offered."""

    vocab_size: int
    bytes_per_token: float
    context_tokens: int


class Plan(Spec):
    """The plan of a search.

    Attributes:
        left_out: why parts of the space are not searched (no carrier in a format).
        seconds_per_rung: training time of the suggestion up to each rung, on one core.
        epochs: how often the final training reads the corpus.
        checkpoint_bytes: of one trial, estimated from the suggestion's size.
        supernet: the shared weights that candidates are scored with; None where each of them is
            trained by itself. `rungs` are then what finalists are trained to.
    """

    corpus: tuple[str, ...]
    vocabularies: tuple[VocabularyPlan, ...]
    log10_space_size: float
    left_out: tuple[str, ...]
    suggestion: Suggestion
    rungs: tuple[Rung, ...]
    seconds_per_rung: tuple[float, ...]
    epochs: float
    checkpoint_bytes: int
    budget: Budget | None
    supernet: PlannedSupernet | None = None


def check(
    config: SearchConfig,
    *,
    root: Path,
    report: Callable[[str, float], None] = lambda what, fraction: None,
) -> Plan:
    """Prepare the corpus, suggest, and lay out the phases.

    Raises:
        ConfigError, CorpusError: the file or the text will not do, or the networks of the space
            cannot share weights where they shall.
        InfeasibleError: nothing meets the limits.
        MissingExtraError: the packages that exporting needs are missing.
    """
    require_export()
    config.strategy.check_files(root)
    workspace = Workspace(config, root=root, report=report)
    budget = plan_budget(config) if config.timeout is not None else None
    suggestion = make_suggestion(
        workspace,
        recipe=config.training,
        seconds=None if budget is None else budget.training_seconds,
        train_bytes=config.plan.train_bytes,
        num_threads=1,
    )
    rungs = plan_ladder(config, suggestion, workspace.bytes_per_token)
    inheriting = inheriting_for(
        config,
        workspace,
        trunk=partial(trunk_training, workspace, protocol=config.protocol),
        search_seconds=None if budget is None else budget.search_seconds,
    )
    first = suggestion.rows[0]
    return Plan(
        corpus=tuple(workspace.corpus.report.lines()),
        vocabularies=tuple(
            VocabularyPlan(
                vocab_size=one.vocab_size,
                bytes_per_token=workspace.bytes_per_token[one.vocab_size],
                context_tokens=one.context_tokens,
            )
            for one in workspace.vocabularies
        ),
        log10_space_size=suggestion.log10_space_size,
        left_out=workspace.left_out,
        suggestion=suggestion,
        rungs=rungs,
        seconds_per_rung=tuple(
            first.train_seconds * rung.train_bytes / first.train_bytes for rung in rungs
        ),
        epochs=first.train_bytes / workspace.corpus.split_bytes(Split.TRAIN),
        checkpoint_bytes=_CHECKPOINT_BYTES_PER_PARAM * first.architecture.num_params,
        budget=budget,
        supernet=None if inheriting is None else inheriting.plan(),
    )

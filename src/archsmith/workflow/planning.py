"""What a search file's time and text are divided into: a budget per phase, the ladder and its rule,
the final training that candidates are compared for."""

from collections.abc import Mapping

from archsmith.budget import Budget, divide
from archsmith.device.environment import num_usable_cores
from archsmith.device.profile import lone_threads
from archsmith.halving.rungs import plan_rungs
from archsmith.halving.settings import Halving
from archsmith.trial import Rung
from archsmith.workflow.foresight import Horizon
from archsmith.workflow.search_config import PlanConfig, SearchConfig
from archsmith.workflow.suggestion import Suggestion
from archsmith.workflow.supernet_config import SupernetConfig
from archsmith.workflow.tasks import LEARNED, SIGNAL, search_objectives

# No rung ends before so many updates, nor before twice the warm-up.
LEAST_UPDATES = 200
# Finalists are cooled down where a cooldown of a fifth of their trunks fits in the search's share,
# and trained again where that leaves a search worth the name.
_COOLED_FROM_SECONDS = 300.0
_REPEATED_FROM_SECONDS = 600.0
# Of the search's time: for trials where finalists are scored as they are, where they are cooled
# down first; and what training them again may take of the latter. One training of a tenth of the
# plan, cooled down, takes 0.32 of a search with the default shares.
_UNCOOLED_SHARE, _COOLED_SHARE, REPEATS_SHARE = 0.95, 0.85, 0.4
# Of what the training of shared weights leaves, about a second for each candidate: the second one
# where that training took longer than was measured, and few have a score.
_SCORING_SHARES = 0.3, 0.6


def plan_budget(config: SearchConfig) -> Budget:
    """How the file's timeout is divided. Raises ConfigError where it is too short."""
    assert config.timeout is not None
    cores = num_usable_cores()
    return divide(
        config.timeout,
        calibrate=config.plan.calibrate,
        search_share=config.plan.search_share,
        num_baselines=len(config.baselines),
        n_jobs=config.n_jobs,
        num_cores=cores,
        lone_threads=min(cores, lone_threads()) if config.baselines else cores,
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


def plan_halving(config: SearchConfig, budget: Budget | None) -> Halving:
    """The strategy's own discipline, else the ladder: with the loss as the one objective that is
    learned, from trainings, it halves by the loss predicted for the final training, beside what
    other objectives are known to be before any."""
    own: Halving | None = config.strategy.halving()
    seconds = None
    if budget is not None and _foresees(config):
        seconds = budget.training_seconds or None
    return own or Halving(eta=config.plan.reduction_factor, horizon_seconds=seconds)


def _foresees(config: SearchConfig) -> bool:
    """Whether a prediction of the loss tells who will be ahead."""
    objectives = search_objectives(config.objectives)
    learned = [name for name in objectives if name in LEARNED]
    # halving takes the first objective for the learned one
    first = objectives[0] == SIGNAL
    return first and learned == [SIGNAL] and config.shared_weights is None


def plan_horizon(config: SearchConfig, budget: Budget | None) -> Horizon:
    """The final training: its seconds, or without a timeout its text."""
    if budget is not None:
        return Horizon(budget.training_seconds, in_bytes=False)
    assert config.plan.train_bytes is not None
    return Horizon(float(config.plan.train_bytes), in_bytes=True)


def cools_finalists(budget: Budget | None) -> bool:
    """Whether finalists are cooled down; always without a timeout."""
    return budget is None or budget.search_seconds >= _COOLED_FROM_SECONDS


def may_repeat(plan: PlanConfig, budget: Budget | None) -> bool:
    """Whether finalists are trained again where there is room; without a timeout there is."""
    asked = plan.fresh_seeds > 0 or bool(plan.rate_factors)
    return asked and (budget is None or budget.search_seconds >= _REPEATED_FROM_SECONDS)


def trial_shares(
    plan: PlanConfig, budget: Budget, *, supernet: SupernetConfig | None = None
) -> tuple[float, ...]:
    """Shares of the search's time at which its trials may end, the last of which they do.

    At an earlier one they end where the finalists can be trained again in what remains. Of what the
    training of shared weights leaves, scores get little: most is for finalists, from scratch.
    """
    if supernet is not None:
        left = 1.0 - supernet.share
        return tuple(supernet.share + part * left for part in _SCORING_SHARES)
    if not cools_finalists(budget):
        return (_UNCOOLED_SHARE,)
    if may_repeat(plan, budget):
        return (_COOLED_SHARE - REPEATS_SHARE, _COOLED_SHARE)
    return (_COOLED_SHARE,)

"""What a search file's time and text are divided into: a budget per phase, and the ladder."""

from collections.abc import Mapping

from archsmith.budget import Budget, divide
from archsmith.device.environment import num_usable_cores
from archsmith.halving.rungs import plan_rungs
from archsmith.trial import Rung
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.suggestion import Suggestion

# No rung ends before so many updates, nor before twice the warm-up.
LEAST_UPDATES = 200


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

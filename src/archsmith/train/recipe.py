"""How a network is trained: everything that is decided before the first step. Imports no torch."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec

# optimizer -> what is assumed where the recipe is silent
DEFAULTS = {
    "muon": {"learning_rate": 0.01, "weight_decay": 0.01},
    "adamw": {"learning_rate": 1e-3, "weight_decay": 0.1},
}


class Recipe(Spec):
    """One recipe for every architecture; `archsmith.train.parametrization` adapts it to the shape.

    Attributes:
        optimizer: `muon` for hidden matrices with AdamW for the rest, or `adamw` for all.
        learning_rate: of hidden matrices, at a width of 256; default 0.01 (muon), 1e-3 (adamw).
        embedding_learning_rate: AdamW's, for embeddings; a head, norms and biases take a quarter.
        moe_learning_rate, moe_embedding_learning_rate: the two rates of networks with experts,
            whose best rates differ from dense ones; None: the same.
        weight_decay: of matrices outside embedding and head; each step takes the share
            learning_rate * weight_decay, whatever the width; default 0.01 (muon), 0.1 (adamw).
        betas: AdamW's. adam_eps: AdamW's. momentum: Muon's.
        batch_tokens: tokens per update, rounded to whole windows, at least one.
        warmup_steps: updates over which the rate rises from zero.
        max_grad_norm: the gradient of all weights together is scaled down to this norm.
        cooldown_fraction: length of a cooldown as a share of the updates before it.
        cooldown_shape: how the rate falls to zero: `1-sqrt` or `linear`.
        router_aux_loss_coef: weight of the loss that spreads tokens over experts.
        router_z_loss_coef: weight of the loss that keeps routers' logits small.
        router_bias_update_rate: what an update adds to or takes from a sigmoid router's correction
            bias, for experts with less or more than the mean load.
        dtype: of weights and activations while training; float32 masters are kept beside
            bfloat16 ones. `auto` takes bfloat16 where the processor multiplies it natively.
        stuck_after_steps: a smoothed loss still above the unigram level then is recorded as stuck.
    """

    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: PositiveFloat = DEFAULTS["muon"]["learning_rate"]
    embedding_learning_rate: PositiveFloat = 0.016
    moe_learning_rate: PositiveFloat | None = None
    moe_embedding_learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = DEFAULTS["muon"]["weight_decay"]
    betas: tuple[float, float] = (0.9, 0.95)
    adam_eps: PositiveFloat = 1e-10
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    batch_tokens: PositiveInt = 1024
    warmup_steps: NonNegativeInt = 40
    max_grad_norm: PositiveFloat = 1.0
    cooldown_fraction: float = Field(default=0.2, gt=0.0, le=1.0)
    cooldown_shape: Literal["1-sqrt", "linear"] = "1-sqrt"
    router_aux_loss_coef: NonNegativeFloat = 0.01
    router_z_loss_coef: NonNegativeFloat = 0.001
    router_bias_update_rate: NonNegativeFloat = 0.001
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    stuck_after_steps: PositiveInt = 200

    @model_validator(mode="before")
    @classmethod
    def _fill_by_optimizer(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = DEFAULTS.get(data.get("optimizer", "muon"), {})
        return {**defaults, **data}

    def batch_size(self, context_tokens: int) -> int:
        """Windows per update."""
        return max(1, round(self.batch_tokens / context_tokens))

    def of(self, architecture: Architecture) -> "Recipe":
        """The recipe with the rates of this kind of network, dense or with experts."""
        if not architecture.has_experts:
            return self
        return self.model_copy(
            update={
                "learning_rate": self.moe_learning_rate or self.learning_rate,
                "embedding_learning_rate": self.moe_embedding_learning_rate
                or self.embedding_learning_rate,
            }
        )

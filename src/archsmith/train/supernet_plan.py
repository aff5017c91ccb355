"""How shared weights are trained: everything that is decided before the first step. No torch."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from archsmith.config import Spec
from archsmith.units import parse_bytes

Method = Literal["sandwich", "single_path", "enas", "darts"]


class SupernetSettings(Spec):
    """What may be set of a training of shared weights, by whoever plans it.

    Attributes:
        method: which networks an update trains. `sandwich`: the largest, the smallest and some at
            random; `single_path`: one, uniformly (Guo et al. 2019, arXiv 1904.00420); `enas`: one,
            drawn by a recurrent policy that learns from scores on held-out text in turns with the
            weights (Pham et al. 2018, arXiv 1802.03268); `darts`: all, mixed by a softmax that
            learns on held-out text in turns with the weights (Liu et al. 2018, arXiv 1806.09055).
        train_bytes: text seen; an update reads its batch once, for however many networks.
        num_random: networks at random in a sandwich.
        policy_learning_rate: Adam's, of the LSTM of `enas` and the logits of `darts`; not set:
            0.001 and 0.01. The papers' 0.00035 and 0.0003 are meant for tens of thousands of steps.
        shared_steps, policy_steps: `enas`: updates of the weights, then of the policy.
        baseline_decay: `enas`: of the average reward that rewards are compared with.
        entropy_coef: `enas`: what the policy's entropy adds to the reward, in nats per nat.
    """

    method: Method | None = None
    train_bytes: PositiveInt | None = None
    num_random: PositiveInt = 2
    policy_learning_rate: PositiveFloat | None = None
    shared_steps: PositiveInt = 20
    policy_steps: PositiveInt = 20
    baseline_decay: float = Field(default=0.95, ge=0.0, lt=1.0)
    entropy_coef: NonNegativeFloat = 0.003

    @field_validator("train_bytes", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value


class SupernetPlan(SupernetSettings):
    """One training of the weights that all networks of a space share, decided."""

    method: Method = "sandwich"
    train_bytes: PositiveInt

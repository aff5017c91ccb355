"""Plain feed-forward block (Vaswani et al. 2017), named as in transformers' Phi."""

from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.model.activations import activate
from archsmith.model.feed_forwards.base import FeedForwardModule
from archsmith.model.kernels.base import Kernels


class MlpModule(FeedForwardModule):
    """fc2(act(fc1(x)))."""

    weight_name = "mlp"

    def __init__(self, spec: Mlp, hidden_size: int) -> None:
        super().__init__(spec, hidden_size)
        self.fc1 = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.fc2 = nn.Linear(spec.intermediate_size, hidden_size, bias=spec.bias)

    def forward(self, x: Float[Tensor, "B T D"], *, kernels: Kernels) -> Float[Tensor, "B T D"]:
        """Transform every position."""
        return self.fc2(activate(self.fc1(x), self.spec.activation))


PART = MlpModule

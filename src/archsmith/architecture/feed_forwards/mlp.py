"""Plain feed-forward block (Vaswani et al. 2017): fc2(act(fc1(x)))."""

from typing import Literal

from pydantic import PositiveInt

from archsmith.architecture.feed_forwards.base import FeedForward


class Mlp(FeedForward):
    """Two matrices with an activation between; phi-1 to phi-2 use `gelu_tanh` and biases."""

    type: Literal["mlp"] = "mlp"
    intermediate_size: PositiveInt
    activation: Literal["gelu_tanh", "silu", "relu2"] = "gelu_tanh"
    bias: bool = True

    def num_params(self, hidden_size: int) -> int:
        biases = self.bias * (self.intermediate_size + hidden_size)
        return self.matmul_params(hidden_size) + biases

    def matmul_params(self, hidden_size: int) -> int:
        return 2 * hidden_size * self.intermediate_size


PART = Mlp

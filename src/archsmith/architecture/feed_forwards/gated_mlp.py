"""Gated feed-forward block (Shazeer 2020, arXiv 2002.05202): down(act(gate(x)) * up(x))."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from archsmith.architecture.feed_forwards.base import FeedForward


class GatedMlp(FeedForward):
    """SwiGLU with `silu`, GEGLU with `gelu_tanh`.

    `gegelu` is Phi-3-small's: down(g * sigmoid(1.702 g) * (u + 1)) with g = gate(x) cut off above
    `activation_limit` and u = up(x) cut off at plus and minus the limit.
    """

    type: Literal["gated_mlp"] = "gated_mlp"
    intermediate_size: PositiveInt
    activation: Literal["silu", "gelu_tanh", "gegelu"] = "silu"
    activation_limit: PositiveFloat | None = None
    bias: bool = False

    def num_params(self, hidden_size: int) -> int:
        biases = self.bias * (2 * self.intermediate_size + hidden_size)
        return self.matmul_params(hidden_size) + biases

    def matmul_params(self, hidden_size: int) -> int:
        return 3 * hidden_size * self.intermediate_size


PART = GatedMlp

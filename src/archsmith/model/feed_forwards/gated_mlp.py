"""Gated feed-forward block (Shazeer 2020, arXiv 2002.05202), named as in transformers' Llama."""

from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.model.feed_forwards.base import FeedForwardModule
from archsmith.model.kernels.base import Kernels


class GatedMlpModule(FeedForwardModule):
    """down(act(gate(x)) * up(x)); `gegelu` cuts both off and adds one to up(x)."""

    weight_name = "mlp"

    def __init__(self, spec: GatedMlp, hidden_size: int) -> None:
        super().__init__(spec, hidden_size)
        self.gate_proj = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.up_proj = nn.Linear(hidden_size, spec.intermediate_size, bias=spec.bias)
        self.down_proj = nn.Linear(spec.intermediate_size, hidden_size, bias=spec.bias)

    def forward(self, x: Float[Tensor, "B T D"], *, kernels: Kernels) -> Float[Tensor, "B T D"]:
        """Transform every position."""
        spec, layers = self.spec, (self.gate_proj, self.up_proj)
        if spec.activation == "gegelu":
            return self.down_proj(kernels.gegelu(x, *layers, spec.activation_limit))
        return self.down_proj(kernels.gated(x, *layers, spec.activation))


PART = GatedMlpModule

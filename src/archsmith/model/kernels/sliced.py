"""The training path where weights are slices of larger ones, which are no neighbours in memory.

Joining q, k, v or gate and up would copy them in every pass, so each has a product of its own.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

from archsmith.model.activations import activate
from archsmith.model.kernels import plain
from archsmith.model.kernels.base import Kernels


def gated(
    x: Float[Tensor, "B T D"], gate: nn.Linear, up: nn.Linear, activation: str
) -> Float[Tensor, "B T F"]:
    """act(gate(x)) * up(x), its gradient in few passes over memory."""
    return _GatedPair.apply(*plain.project(x, (gate, up)), activation)


def for_slices(kernels: Kernels) -> Kernels:
    """The same kernels, with operations that do not join weights."""
    return kernels._replace(project=plain.project, gated=gated, gegelu=plain.gegelu)


class _GatedPair(Function):
    """(gates … F, values … F, activation's name) -> act(gate) * value, … F."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, activation: str) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        return activate(gate, activation).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grads
        gate, up = ctx.saved_tensors
        grad_up = grad * activate(gate, ctx.activation)
        if ctx.activation == "silu":
            grad_gate = torch.ops.aten.silu_backward(grad * up, gate)
        else:
            grad_gate = torch.ops.aten.gelu_backward(grad * up, gate, approximate="tanh")
        return grad_gate, grad_up, None

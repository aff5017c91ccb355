"""Norm, rotary embedding and gated activation with gradients written by hand.

torch would differentiate them as chains of elementwise operations, each a pass over memory.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from archsmith.model.activations import QUICK_GELU, activate, gegelu_operands, quick_gelu


class RmsNorm(Function):
    """(x, weight, eps) -> x / rms(x) * weight over the last axis (Zhang & Sennrich 2019)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        normed = x * inverse
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grads
        normed, inverse, weight = ctx.saved_tensors
        width = weight.shape[0]
        product = grad * normed
        grad_weight = product.reshape(-1, width).sum(0, dtype=torch.float32).to(weight.dtype)
        # d normed, less its share along normed: (g - normed * mean(g * normed)) / rms
        mean = (product @ weight.unsqueeze(-1)).div_(width)
        grad_x = (grad * weight).addcmul_(normed, mean, value=-1).mul_(inverse)
        return grad_x, grad_weight, None


class Rotate(Function):
    """(B T H E, cosines T R/2, sines T R/2) -> B H T E; the inverse rotation is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        batch, tokens, heads, features = x.shape
        turned = x.new_empty(batch, heads, tokens, features)
        _turn(x.transpose(1, 2), cosines, sines, 1, out=turned)
        return turned

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grads
        cosines, sines = ctx.saved_tensors
        batch, heads, tokens, features = grad.shape
        grad_x = grad.new_empty(batch, tokens, heads, features)
        _turn(grad, cosines, sines, -1, out=grad_x.transpose(1, 2))
        return grad_x, None, None


def _turn(x: Tensor, cosines: Tensor, sines: Tensor, sign: int, *, out: Tensor) -> None:
    half = cosines.shape[-1]
    first, second = x[..., :half], x[..., half : 2 * half]
    torch.mul(first, cosines, out=out[..., :half]).addcmul_(second, sines, value=-sign)
    torch.mul(second, cosines, out=out[..., half : 2 * half]).addcmul_(first, sines, value=sign)
    if 2 * half < x.shape[-1]:
        out[..., 2 * half :] = x[..., 2 * half :]


class GatedActivation(Function):
    """(… 2F: gates, then values, activation's name) -> act(gate) * value, … F."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, activation: str) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        ctx.save_for_backward(gate_up)
        ctx.activation = activation
        return activate(gate, activation).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, activate(gate, ctx.activation), out=grad_up)
        if ctx.activation == "silu":
            torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        else:
            torch.ops.aten.gelu_backward.grad_input(
                grad * up, gate, approximate="tanh", grad_input=grad_gate
            )
        return grad_gate_up, None


class GegeluActivation(Function):
    """(… 2F: gates, then values, limit or None) -> quick_gelu(gate) * (value + 1), … F."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, limit: float | None) -> Tensor:
        ctx.save_for_backward(gate_up)
        ctx.limit = limit
        gate, up = gate_up.chunk(2, dim=-1)
        gate, up = gegelu_operands(gate, up, limit)
        return quick_gelu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        (gate_up,) = ctx.saved_tensors
        raw_gate, raw_up = gate_up.chunk(2, dim=-1)
        gate, up = gegelu_operands(raw_gate, raw_up, ctx.limit)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.mul(grad, quick_gelu(gate), out=grad_up)
        # quick_gelu(x) is silu(c x) / c, so its slope is silu's at c x
        torch.ops.aten.silu_backward.grad_input(grad * up, QUICK_GELU * gate, grad_input=grad_gate)
        if ctx.limit is not None:  # what was cut off has no part in the result
            grad_gate.mul_(raw_gate <= ctx.limit)
            grad_up.mul_(raw_up.abs() <= ctx.limit)
        return grad_gate_up, None

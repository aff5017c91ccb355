"""Activation functions by the names specs use."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

QUICK_GELU = 1.702


def activate(x: Float[Tensor, "*S"], name: str) -> Float[Tensor, "*S"]:
    """`silu`, `gelu_tanh` (transformers' gelu_new and gelu_pytorch_tanh) or `relu2`."""
    if name == "silu":
        return F.silu(x)
    if name == "gelu_tanh":
        return F.gelu(x, approximate="tanh")
    if name == "relu2":
        return F.relu(x).square()
    raise AssertionError(f"specs admit no activation '{name}'")


def gegelu_operands(
    gate: Float[Tensor, "*S"], up: Float[Tensor, "*S"], limit: float | None
) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
    """The gate cut off above `limit`, `up` cut off beyond plus and minus the limit, plus one."""
    if limit is not None:
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate, up + 1


def quick_gelu(x: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """x * sigmoid(1.702 x) (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
    return F.silu(QUICK_GELU * x) / QUICK_GELU

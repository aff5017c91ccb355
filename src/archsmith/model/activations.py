"""Activation functions by the names specs use."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def activate(x: Float[Tensor, "*S"], name: str) -> Float[Tensor, "*S"]:
    """`silu`, `gelu_tanh` (transformers' gelu_new and gelu_pytorch_tanh) or `relu2`."""
    if name == "silu":
        return F.silu(x)
    if name == "gelu_tanh":
        return F.gelu(x, approximate="tanh")
    if name == "relu2":
        return F.relu(x).square()
    raise AssertionError(f"specs admit no activation '{name}'")

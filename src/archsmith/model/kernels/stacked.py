"""Several linear layers that read one input, as a single matrix product.

The trainer keeps such weights next to each other in one buffer (q, k, v; gate, up), so stacking
them is a view. Anywhere else it is a copy and the result is the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function


def stacked_linear(
    x: Float[Tensor, "B T D"], layers: Sequence[nn.Linear]
) -> Float[Tensor, "B T O"]:
    """The layers' outputs side by side. Either all layers have a bias or none has."""
    weights = [layer.weight for layer in layers]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    assert len(biases) in (0, len(layers)), "all layers have a bias, or none"
    return _StackedLinear.apply(x, len(layers), *weights, *biases)


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors joined along their first axis: a view if they are neighbours in memory."""
    first = tensors[0]
    position = first.storage_offset()
    for tensor in tensors:
        if (
            tensor.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
            or tensor.storage_offset() != position
            or not tensor.is_contiguous()
        ):
            return torch.cat(list(tensors))
        position += tensor.numel()
    rows = sum(tensor.shape[0] for tensor in tensors)
    return first.as_strided((rows, *first.shape[1:]), first.stride())


class _StackedLinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, num_layers: int, *parameters: Tensor) -> Tensor:
        weight = stack(parameters[:num_layers])
        bias = stack(parameters[num_layers:]) if len(parameters) > num_layers else None
        # the stacked weight is an alias that save_for_backward could not check for changes
        ctx.save_for_backward(x, *parameters)
        ctx.num_layers = num_layers
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, *parameters = ctx.saved_tensors
        weights, biases = parameters[: ctx.num_layers], parameters[ctx.num_layers :]
        rows = [weight.shape[0] for weight in weights]
        grad_NO = grad.reshape(-1, grad.shape[-1])
        grad_x = grad @ stack(weights)
        grad_weights = (grad_NO.T @ x.reshape(-1, x.shape[-1])).split(rows)
        grad_biases: tuple[Tensor, ...] = ()
        if biases:
            summed = grad_NO.sum(0, dtype=torch.float32).to(grad.dtype)
            grad_biases = summed.split(rows)
        return grad_x, None, *grad_weights, *grad_biases

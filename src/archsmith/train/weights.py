"""A model's weights on flat buffers: float32 masters, and the copies the model computes with.

Matrices lie in the order the model names them, so q, k, v and gate, up are neighbours, and one
matrix product serves them (`archsmith.model.kernels.stacked`). Vectors follow the matrices.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Slot(NamedTuple):
    """One tensor: float32 master and gradient, both views with the tensor's shape."""

    name: str
    parameter: nn.Parameter
    master: Tensor
    gradient: Tensor


class FlatWeights:
    """Takes over the storage of a float32 model's weights; it then computes in `dtype`."""

    def __init__(self, model: nn.Module, *, dtype: torch.dtype) -> None:
        named = sorted(model.named_parameters(), key=lambda pair: pair[1].dim() < 2)  # stable
        parameters = [parameter for _, parameter in named]
        self.master = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.gradient = torch.zeros_like(self.master)
        # in float32 the model computes with the masters themselves
        self._working = self.master if dtype == torch.float32 else self.master.to(dtype)
        self.slots: list[Slot] = []
        start = 0
        for name, parameter in named:
            span, shape = slice(start, start + parameter.numel()), parameter.shape
            master, gradient = self.master[span].view(shape), self.gradient[span].view(shape)
            parameter.data = self._working[span].view(shape)
            self.slots.append(Slot(name, parameter, master, gradient))
            start = span.stop

    def take_gradients(self) -> None:
        """Move the parameters' gradients into the float32 buffer; 0 where none is wanted."""
        for slot in self.slots:
            if not slot.parameter.requires_grad:
                continue
            assert slot.parameter.grad is not None, f"{slot.name} has no part in the loss"
            slot.gradient.copy_(slot.parameter.grad)
            slot.parameter.grad = None

    def masters(self) -> dict[str, Tensor]:
        """The live float32 weights by canonical name. Call `publish` after changing them."""
        return {slot.name: slot.master for slot in self.slots}

    def publish(self) -> None:
        """Give the model the masters' values."""
        if self._working is not self.master:
            self._working.copy_(self.master)

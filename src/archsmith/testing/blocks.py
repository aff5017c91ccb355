"""What the contracts of mixers and feed-forward blocks share."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(module: ModuleT, *, seed: int) -> ModuleT:
    """A module off the meta device; matrices keep the scale of their input, vectors are near one.

    Biases near one are large beside trained ones: what forgets a bias is found.
    """
    module = module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            normal = torch.randn(parameter.shape, generator=generator)
            vector = parameter.dim() < 2
            parameter.copy_(1 + 0.3 * normal if vector else normal / parameter.shape[-1] ** 0.5)
    return module


def assert_fast_is_plain(module: nn.Module, x: Tensor, **arguments: Any) -> None:
    """Both kernels: the same output, gradient of the input and of every weight, in float32."""
    expected, actual = (_with_gradients(module, x, kernels, arguments) for kernels in (PLAIN, FAST))
    assert actual.keys() == expected.keys()
    # of all together: a gradient that cancels out is nothing but rounding
    scale = max(float(plain.abs().max()) for plain in expected.values())
    for name, plain in expected.items():
        torch.testing.assert_close(actual[name], plain, rtol=1e-4, atol=1e-5 * scale, msg=name)


def assert_trainable(module: nn.Module, x: Tensor, **arguments: Any) -> None:
    """In training each weight has a gradient from each of the kernels, and all are finite."""
    module.train()
    for kernels in (PLAIN, FAST):
        found = _with_gradients(module, x, kernels, arguments)
        for name, parameter in module.named_parameters():
            assert name in found or not parameter.requires_grad, f"{name} takes no part"
        assert all(tensor.isfinite().all() for tensor in found.values())


def _with_gradients(
    module: nn.Module, x: Tensor, kernels: Kernels, arguments: dict[str, Any]
) -> dict[str, Tensor]:
    """The output, and the gradients of a random direction of it, by name."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    out = module(x, kernels=kernels, **arguments)
    (out * draw(*out.shape, seed=3)).sum().backward()
    assert x.grad is not None
    found = {"output": out.detach(), "gradient of the input": x.grad}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.clone()
    return found

"""A network that is a mixture of its parts: soft masks where sizes are chosen (DARTS, 1806.09055).

Liu et al. weigh operations by a softmax and compute all of them. Parts of one network are nested,
so their mixture costs one pass: every feature, head, feed-forward unit and layer is weighed by how
likely it is part of the network. With all weights 0 or 1 the network computes what the part with
those sizes computes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from archsmith.architecture.tree import Architecture
from archsmith.model.transformer import DecoderLayer, Transformer


class Masks(NamedTuple):
    """Weights in [0, 1] of everything that a smaller network may lack; None: it never does."""

    features: Float[Tensor, " D"] | None = None
    units: Float[Tensor, " F"] | None = None
    heads: Float[Tensor, " H"] | None = None
    layers: Float[Tensor, " L"] | None = None


def why_not_relaxable(architecture: Architecture, *, width: bool, heads: bool) -> str | None:
    """Why masks cannot stand for smaller networks where width or heads vary, or None."""
    layer = architecture.layers[0]
    if width and "layer" in (layer.norm.type, architecture.final_norm.type):
        return "LayerNorm takes its mean over features that a narrower network lacks"
    if heads and layer.mixer.qk_norm and layer.mixer.qk_norm_over == "all_heads":
        return "queries are normalized over all heads together"
    return None


@contextmanager
def relaxed(model: Transformer, masks: Masks) -> Iterator[None]:
    """Inside, the network computes under the masks, and its loss has gradients to them."""
    handles: list[Any] = []
    try:
        for number, layer in enumerate(model.model.layers):
            assert isinstance(layer, DecoderLayer)
            handles += _mask_layer(layer, masks, number)
        if masks.features is not None:
            handles += _mask_norm(model.model.norm, masks.features)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mask_layer(layer: DecoderLayer, masks: Masks, number: int) -> Iterator[Any]:
    attention: Any = layer.self_attn
    block: Any = layer.mlp
    if masks.heads is not None:
        head_dim = layer.spec.mixer.head_dim
        yield _scale_input(attention.o_proj, masks.heads.repeat_interleave(head_dim))
    if masks.units is not None:
        yield _scale_input(getattr(block, "down_proj", None) or block.fc2, masks.units)
    if masks.features is not None:
        yield from _mask_norm(layer.input_layernorm, masks.features)
        if layer.spec.residual == "sequential":
            yield from _mask_norm(layer.post_attention_layernorm, masks.features)
    if masks.layers is not None:
        share = masks.layers[number]

        def fade(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            return torch.lerp(args[0], output, share.to(output.dtype))

        yield layer.register_forward_hook(fade)


def _scale_input(module: nn.Module, scale: Tensor) -> Any:
    def multiply(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * scale.to(args[0].dtype), *args[1:])

    return module.register_forward_pre_hook(multiply)


def _mask_norm(norm: nn.Module, features: Tensor) -> Iterator[Any]:
    """The root mean square over as many features as the mask holds, not over all.

    With x scaled by s = sqrt(D / kept) before and 1 / s after, the module's own mean over D is the
    mean over the kept ones, its epsilon included.
    """
    scale = (len(features) / features.sum()).sqrt()
    yield _scale_input(norm, features * scale)
    yield norm.register_forward_hook(_times(1 / scale))


def _times(factor: Tensor) -> Callable[..., Tensor]:
    def multiply(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output * factor.to(output.dtype)

    return multiply

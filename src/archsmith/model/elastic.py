"""A smaller network that computes with slices of a larger one's weights, or with copies of them.

A slice is a view: the larger network's storage, its leading rows and columns. What the smaller
network learns or what changes in the larger one is therefore seen by both.
"""

import torch
from torch import Tensor, nn

from archsmith.architecture.elastic import why_not_inside
from archsmith.architecture.tree import Architecture
from archsmith.errors import ConfigError
from archsmith.model.transformer import Transformer, build


def view_of(largest: Transformer, architecture: Architecture) -> Transformer:
    """The part of a network that an architecture names; its parameters are views of the other's.

    A view's gradient is its own, of the view's shape. Raises ConfigError where the architecture is
    no part of the network.
    """
    require_inside(largest.architecture, architecture)
    part = build(architecture, seed=None, device="meta")
    whole = dict(largest.named_parameters())
    for prefix, module in part.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            source = whole.get(f"{prefix}.{name}" if prefix else name)
            if source is None:
                continue  # a tied head: `tie` makes it the table's view
            view = leading(source.detach(), parameter.shape)
            setattr(module, name, nn.Parameter(view, requires_grad=source.requires_grad))
    part.tie()
    return part


def copy_of(largest: Transformer, architecture: Architecture) -> Transformer:
    """The same part with float32 weights of its own."""
    view = view_of(largest, architecture)
    copy = build(architecture, seed=None, device=next(largest.parameters()).device)
    with torch.no_grad():
        for target, source in zip(copy.parameters(), view.parameters(), strict=True):
            target.copy_(source)
    return copy


def leading(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The view of a tensor's first entries along each axis."""
    return tensor[tuple(slice(0, size) for size in shape)]


def require_inside(largest: Architecture, architecture: Architecture) -> None:
    """Raises ConfigError where an architecture is no part of the supernet's largest network."""
    reason = why_not_inside(largest, architecture)
    if reason is not None:
        raise ConfigError(
            f"{architecture.summary()} is no part of the supernet {largest.summary()}: {reason}; "
            "search in the space the supernet was made for"
        )

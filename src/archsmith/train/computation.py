"""A model's loss as its device computes it: eager, or compiled where a GPU or time gains by it.

What torch.compile makes is kept on the disk, so candidates of one shape compile once between them.
CUDA graphs come with its mode `reduce-overhead`. Networks with experts stay eager: how many tokens
an expert gets changes with every update, and each change would compile anew.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from archsmith.device.training_choice import KernelChoice
from archsmith.model.feed_forwards.base import FeedForwardModule
from archsmith.model.kernels.fast import fast_kernels
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.routing import Routing
from archsmith.model.transformer import Transformer

Loss = Callable[..., Tensor]
_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def routes(model: Transformer) -> bool:
    """Whether some layer decides where a token goes."""
    return any(block.routes for block in model.modules() if isinstance(block, FeedForwardModule))


def loss_of(model: Transformer, choice: KernelChoice) -> Loss:
    """`model.loss` with the kernels of a choice: (tokens, targets, routing=None) -> mean nats."""
    kernels = fast_kernels(choice)
    compiled = choice.compile != "no" and not routes(model)
    if compiled:
        _keep_compiled()  # before the compiler is imported, which reads it
        # the compiler joins plain operations by itself; the head's chunks keep memory small
        kernels = PLAIN._replace(head_loss=torch.compiler.disable(kernels.head_loss))

    def loss(tokens: Tensor, targets: Tensor, routing: Routing | None = None) -> Tensor:
        return model.loss(tokens, targets, kernels, routing)

    if not compiled:
        return loss
    made: Loss = torch.compile(loss, mode=choice.compile, dynamic=False)
    return made


def is_compilers(error: BaseException) -> bool:
    """Whether the compiler failed: there is none, or it finds a file half written on the disk."""
    packages = ("torch._inductor", "torch._dynamo")
    return any(kind.__module__.startswith(packages) for kind in type(error).__mro__)


def _keep_compiled() -> None:
    """Let all processes of this user share what is compiled, unless the environment says where."""
    import click

    folder = Path(click.get_app_dir("archsmith")) / "compiled"
    os.environ.setdefault(_CACHE_VARIABLE, str(folder))
    # the tables of the rotary embedding, which depend on nothing but the cache's keys
    warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")

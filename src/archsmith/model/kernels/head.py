"""Output head and cross-entropy by chunks of rows, so that all logits are never in memory.

For training the gradient is made beside the loss, while a chunk's logits are still in the cache.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from archsmith.device.training_choice import KernelChoice

# Logits held at once where the vocabulary is small: it wants one large product.
CHUNK_ELEMENTS = 2**20
_DEFAULT = KernelChoice()
# Below the smallest float32 the loss of one token stops growing, at 87 nats; its gradient does not
_LEAST_PROBABILITY = torch.finfo(torch.float32).tiny


def row_nats(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Cross-entropy of each row in nats, softmax in float32; for scoring, without gradient."""
    rows = chunk_rows(len(weight), _DEFAULT)
    logits = _room(hidden, weight, rows)
    logs = torch.empty_like(logits, dtype=torch.float32)
    nats = []
    for chunk, target in zip(hidden.split(rows), targets.split(rows), strict=True):
        made = _logits(chunk, weight, bias, out=logits[: len(chunk)])
        log = torch.log_softmax(made.float(), dim=-1, out=logs[: len(chunk)])
        nats.append(-log.gather(1, target[:, None])[:, 0])
    return torch.cat(nats)


class HeadLoss(Function):
    """(hidden N D, weight V D, bias V or None, targets N, rows at a time) -> mean nats, float32."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        rows: int,
    ) -> Tensor:
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        grad_bias = torch.zeros(len(weight), dtype=torch.float32, device=hidden.device)
        nats = torch.zeros((), dtype=torch.float32, device=hidden.device)
        logits = _room(hidden, weight, rows)
        probabilities = torch.empty_like(logits)
        for chunk, target, grad_chunk in zip(
            hidden.split(rows), targets.split(rows), grad_hidden.split(rows), strict=True
        ):
            made = _logits(chunk, weight, bias, out=logits[: len(chunk)])
            # gradient of the logits: the probabilities, less one at the target
            grad = torch.softmax(made, dim=-1, out=probabilities[: len(chunk)])
            target = target[:, None]
            probability = grad.gather(1, target).float()
            nats -= probability.clamp_min_(_LEAST_PROBABILITY).log_().sum()
            grad.scatter_add_(1, target, grad.new_full(target.shape, -1.0))
            torch.mm(grad, weight, out=grad_chunk)
            grad_weight.addmm_(grad.T, chunk)
            if bias is not None:
                grad_bias += grad.sum(0, dtype=torch.float32)
        ctx.save_for_backward(grad_hidden, grad_weight, None if bias is None else grad_bias)
        return nats / len(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scale = (grads[0] / len(grad_hidden)).to(grad_hidden.dtype)
        grad_bias = None if grad_bias is None else (grad_bias * scale).to(grad_hidden.dtype)
        return grad_hidden * scale, grad_weight * scale, grad_bias, None, None


def _room(hidden: Tensor, weight: Tensor, rows: int) -> Tensor:
    """Memory for one piece's logits. All pieces use the same: blocks of this size, freed and asked
    for again, left the heap full of holes, and a process a quarter to a half larger."""
    return hidden.new_empty(min(rows, len(hidden)), len(weight))


def _logits(chunk: Tensor, weight: Tensor, bias: Tensor | None, *, out: Tensor) -> Tensor:
    if bias is None:
        return torch.mm(chunk, weight.T, out=out)
    return torch.addmm(bias, chunk, weight.T, out=out)


def chunk_rows(vocab_size: int, choice: KernelChoice) -> int:
    """Rows of logits that are made at a time."""
    if vocab_size >= choice.head_rows_from:
        return choice.head_rows
    return max(choice.head_rows, CHUNK_ELEMENTS // vocab_size)

"""Products of many gated blocks, each with the tokens that chose it.

`experts_in_turn` is the reference. `grouped_experts` sorts the assignments by expert, so that an
expert's rows are neighbours, and has its gradient written by hand.

Letters: X experts, N tokens, K experts per token, S rows sorted by expert (N·K and padding), F
width of an expert.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from archsmith.model.kernels.grouped_products import products_with, products_within
from archsmith.model.routing import Choice


def experts_in_turn(
    x: Float[Tensor, "N D"],
    choice: Choice,
    gate: Float[Tensor, "X F D"],
    up: Float[Tensor, "X F D"],
    down: Float[Tensor, "X D F"],
) -> Float[Tensor, "N D"]:
    """Weighted sum over a token's experts of down(silu(gate(x)) * up(x))."""
    out = torch.zeros_like(x)
    for expert in choice.experts.unique().tolist():
        tokens, ranks = torch.where(choice.experts == expert)
        rows = x[tokens]
        hidden = F.silu(rows @ gate[expert].T) * (rows @ up[expert].T)
        weight = choice.weights[tokens, ranks, None]
        out = out.index_add(0, tokens, (hidden @ down[expert].T) * weight)
    return out


def grouped_experts(
    x: Float[Tensor, "N D"],
    choice: Choice,
    gate: Float[Tensor, "X F D"],
    up: Float[Tensor, "X F D"],
    down: Float[Tensor, "X D F"],
) -> Float[Tensor, "N D"]:
    """The same, all experts' products together."""
    return _GroupedExperts.apply(x, choice.experts, choice.weights, gate, up, down)


class Order(NamedTuple):
    """Assignments sorted by expert.

    Attributes:
        tokens: the token of each row; a row of padding names any.
        positions: the row of each assignment.
        ends: the row behind each expert's last.
    """

    tokens: Int[Tensor, " S"]
    positions: Int[Tensor, "N K"]
    ends: Int[Tensor, " X"]


def sort_by_expert(experts: Int[Tensor, "N K"], num_experts: int, *, multiple: int) -> Order:
    """Bring the assignments of an expert together, in the order of tokens; rows are padded."""
    flat = experts.flatten()
    order = _stable_argsort(flat, num_experts)
    loads = torch.bincount(flat, minlength=num_experts)
    padding = -loads % multiple
    ends = (loads + padding).cumsum(0)
    shift = torch.repeat_interleave(padding.cumsum(0) - padding, loads)
    rows = torch.arange(len(flat), device=flat.device).add_(shift)
    tokens = flat.new_zeros(len(flat) if multiple == 1 else int(ends[-1]))
    tokens[rows] = order // experts.shape[1]
    positions = torch.empty_like(order)
    positions[order] = rows
    return Order(tokens, positions.view(experts.shape), ends.int())


def _row_multiple(dtype: torch.dtype, mean_rows: int) -> int:
    """What an expert's number of rows is filled up to.

    oneDNN, which multiplies bfloat16 on CPUs, compiles a kernel for every new number of rows: 0.7
    to 0.9 ms, as long as the product of 256 rows itself takes. Multiples leave few different
    numbers, at 3 % more rows. CUDA's grouped product wants multiples of 8.
    """
    if dtype != torch.bfloat16:
        return 1
    return 16 if mean_rows >= 256 else 8


def _stable_argsort(flat: Int[Tensor, " A"], num_experts: int) -> Int[Tensor, " A"]:
    if flat.device.type != "cpu":
        return flat.argsort(stable=True)
    # numpy sorts short integers by radix, in a tenth of the time
    short = np.uint8 if num_experts <= 256 else np.uint16
    return torch.from_numpy(flat.numpy().astype(short).argsort(kind="stable"))


def _add_up(
    rows: Float[Tensor, "S D"],
    positions: Int[Tensor, "N K"],
    weights: Float[Tensor, "N K"] | None = None,
) -> Float[Tensor, "N D"]:
    """Each token's (weighted) rows, added in one pass."""
    starts = torch.arange(0, positions.numel(), positions.shape[1], device=rows.device)
    flat = None if weights is None else weights.flatten()
    return torch.embedding_bag(rows, positions.flatten(), starts, False, 0, False, flat)[0]


class _GroupedExperts(Function):
    """(x N D, experts N K, weights N K, gate X F D, up X F D, down X D F) -> N D."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        experts: Tensor,
        weights: Tensor,
        gate: Tensor,
        up: Tensor,
        down: Tensor,
    ) -> Tensor:
        multiple = _row_multiple(x.dtype, experts.numel() // len(gate))
        tokens, positions, ends = sort_by_expert(experts, len(gate), multiple=multiple)
        rows = x.index_select(0, tokens)
        gated, upped = products_with(rows, gate.mT, ends), products_with(rows, up.mT, ends)
        hidden = F.silu(gated).mul_(upped)
        out = products_with(hidden, down.mT, ends)
        ctx.save_for_backward(
            rows, gated, upped, out, weights, gate, up, down, tokens, positions, ends
        )
        return _add_up(out, positions, weights)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, gated, upped, out, weights, gate, up, down, tokens, positions, ends = (
            ctx.saved_tensors
        )
        weight = weights.new_zeros(len(tokens), 1)  # 0 for padding, which then adds nothing
        weight[positions.flatten(), 0] = weights.flatten()
        grad = grads[0].index_select(0, tokens)
        grad_weights = torch.linalg.vecdot(grad, out)[positions]
        grad.mul_(weight)
        grad_hidden = products_with(grad, down, ends)
        silu = F.silu(gated)
        grad_down = products_within(grad, silu * upped, ends)
        grad_up = silu.mul_(grad_hidden)
        grad_gate = grad_hidden.mul_(upped)
        torch.ops.aten.silu_backward.grad_input(grad_gate, gated, grad_input=grad_gate)
        grad_rows = products_with(grad_gate, gate, ends).add_(products_with(grad_up, up, ends))
        return (
            _add_up(grad_rows, positions),
            None,
            grad_weights,
            products_within(grad_gate, rows, ends),
            products_within(grad_up, rows, ends),
            grad_down,
        )

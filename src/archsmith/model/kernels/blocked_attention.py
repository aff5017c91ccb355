"""Causal attention over blocks of queries, as batched products with a softmax between.

Each block meets only the keys it can see, so half of a causal square and everything outside a
window is never computed. The query heads that share a key head are rows of one product.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from archsmith.device.training_choice import KernelChoice
from archsmith.model.kernels.plain import visible

DEFAULT_BLOCK = KernelChoice().query_block


class BlockedAttention(Function):
    """(q B H T E, k B K T E, v B K T E, window or None, scale, queries of a block) -> B H T E."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        window: int | None,
        scale: float,
        query_block: int = DEFAULT_BLOCK,
    ) -> Tensor:
        batch, heads, tokens, features = q.shape
        groups = batch * k.shape[1]
        q_GRTE = q.reshape(groups, -1, tokens, features)
        k_GTE, v_GTE = k.reshape(groups, tokens, features), v.reshape(groups, tokens, features)
        out = torch.empty_like(q_GRTE)
        weights = []
        for queries, keys in _blocks(tokens, window, query_block):
            rows = q_GRTE[:, :, queries].reshape(groups, -1, features)
            mask = _mask(q_GRTE.shape[1], queries, keys, window, q.dtype)
            scores = torch.baddbmm(mask, rows, k_GTE[:, keys].transpose(1, 2), alpha=scale)
            weight = torch.softmax(scores, dim=-1)
            weights.append(weight)
            out[:, :, queries] = torch.bmm(weight, v_GTE[:, keys]).view_as(out[:, :, queries])
        ctx.save_for_backward(q_GRTE, k_GTE, v_GTE, *weights)
        ctx.window, ctx.scale, ctx.query_block = window, scale, query_block
        return out.view(batch, heads, tokens, features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q_GRTE, k_GTE, v_GTE, *weights = ctx.saved_tensors
        groups, _, tokens, features = q_GRTE.shape
        grad_GRTE = grad.reshape(q_GRTE.shape)
        grad_q = torch.empty_like(q_GRTE)
        grad_k, grad_v = torch.zeros_like(k_GTE), torch.zeros_like(v_GTE)
        blocks = _blocks(tokens, ctx.window, ctx.query_block)
        for (queries, keys), weight in zip(blocks, weights, strict=True):
            rows = q_GRTE[:, :, queries].reshape(groups, -1, features)
            grad_rows = grad_GRTE[:, :, queries].reshape(groups, -1, features)
            grad_v[:, keys].baddbmm_(weight.transpose(1, 2), grad_rows)
            grad_scores = torch.ops.aten._softmax_backward_data(
                torch.bmm(grad_rows, v_GTE[:, keys].transpose(1, 2)), weight, -1, weight.dtype
            )
            grad_q[:, :, queries] = torch.bmm(grad_scores, k_GTE[:, keys]).view_as(
                grad_q[:, :, queries]
            )
            grad_k[:, keys].baddbmm_(grad_scores.transpose(1, 2), rows, alpha=ctx.scale)
        batch, heads = grad.shape[:2]
        kv_shape = (batch, groups // batch, tokens, features)
        grad_q = grad_q.mul_(ctx.scale).view(batch, heads, tokens, features)
        return grad_q, grad_k.view(kv_shape), grad_v.view(kv_shape), None, None, None


def _blocks(tokens: int, window: int | None, query_block: int) -> list[tuple[slice, slice]]:
    """Blocks of queries with the keys that at least one of them sees."""
    blocks = []
    for start in range(0, tokens, query_block):
        stop = min(start + query_block, tokens)
        first_key = 0 if window is None else max(0, start - window + 1)
        blocks.append((slice(start, stop), slice(first_key, stop)))
    return blocks


def _mask(
    repeats: int, queries: slice, keys: slice, window: int | None, dtype: torch.dtype
) -> Tensor:
    return _cached_mask(
        repeats, queries.stop - queries.start, keys.stop - keys.start, window, dtype
    )


@lru_cache(maxsize=64)
def _cached_mask(
    repeats: int, num_queries: int, num_keys: int, window: int | None, dtype: torch.dtype
) -> Tensor:
    """0 where a query looks, minus infinity elsewhere; the block's queries are the last keys."""
    seen = visible(num_queries, num_keys, window, torch.device("cpu"))
    return (
        torch.zeros(num_queries, num_keys, dtype=dtype)
        .masked_fill_(~seen, -torch.inf)
        .repeat(repeats, 1)
    )

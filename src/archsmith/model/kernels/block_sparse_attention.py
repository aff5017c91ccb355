"""Block-sparse causal attention over tiles of queries; blocks that no query sees cost nothing.

A tile of queries meets the near keys, one stretch that all heads share, and the far blocks of each
head's own stride, gathered; one softmax covers both.
Letters beyond `base`: G = B·K groups of heads, Q queries of a tile, N near keys, X far blocks of a
head, W = X·block_size + N.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from archsmith.model.kernels.block_pattern import BlockPattern

TILE_TOKENS = 128  # as many queries at a time as in blocked attention


class Tile(NamedTuple):
    """Queries that are computed together, and what they meet.

    Attributes:
        queries, near: positions.
        far: int64 [H, X], the further blocks that a head's queries see; to be of one length the
            rows are filled with blocks that are then hidden.
        hidden: bool [H, Q, W], true where a query does not look at a far or near key.
    """

    queries: slice
    near: slice
    far: Tensor
    hidden: Tensor


@lru_cache(maxsize=64)
def tile_at(pattern: BlockPattern, *, num_heads: int, num_tokens: int, start: int) -> Tile:
    """The tile whose first query stands at `start`, the beginning of a block."""
    size = pattern.block_size
    stop = min(start + tile_tokens(pattern), num_tokens)
    first_near = max(0, start // size - pattern.num_local_blocks + 1)
    heads = torch.arange(num_heads)[:, None]
    on_stride = pattern.on_stride(heads, torch.arange(first_near))
    most = int(on_stride.sum(1).max())
    # a head's own blocks first; hidden fillers follow, never one block twice
    far = (~on_stride).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    far_keys = (far[:, :, None] * size + torch.arange(size)).flatten(1)
    near_keys = torch.arange(first_near * size, stop).expand(num_heads, -1)
    keys = torch.cat((far_keys, near_keys), dim=1)
    hidden = ~pattern.sees(heads[:, :, None], torch.arange(start, stop)[:, None], keys[:, None, :])
    return Tile(slice(start, stop), slice(first_near * size, stop), far, hidden)


def tile_tokens(pattern: BlockPattern) -> int:
    """Queries of a tile: whole blocks, about `TILE_TOKENS`."""
    return max(1, TILE_TOKENS // pattern.block_size) * pattern.block_size


class BlockSparseAttention(Function):
    """(q B H T E, k B K T E, v B K T E, pattern, scale) -> B H T E, on the CPU."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, pattern: BlockPattern, scale: float
    ) -> Tensor:
        q = q * scale
        k, v = _in_whole_blocks(k, pattern), _in_whole_blocks(v, pattern)
        out = torch.empty_like(q)
        weights = []
        for tile in _tiles(q, pattern):
            scores = _products(q[:, :, tile.queries], k, tile)
            weight = torch.softmax(scores.masked_fill_(tile.hidden, -torch.inf), dim=-1)
            weights.append(weight)
            out[:, :, tile.queries] = _mixture(weight, v, tile)
        ctx.save_for_backward(q, k, v, *weights)
        ctx.pattern, ctx.scale = pattern, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (grad,) = grads
        q, k, v, *weights = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for tile, weight in zip(_tiles(q, ctx.pattern), weights, strict=True):
            rows = grad[:, :, tile.queries]
            _collect(weight, rows, tile, into=grad_v)
            grad_scores = torch.ops.aten._softmax_backward_data(
                _products(rows, v, tile), weight, -1, weight.dtype
            )
            grad_q[:, :, tile.queries] = _mixture(grad_scores, k, tile)
            _collect(grad_scores, q[:, :, tile.queries], tile, into=grad_k)
        tokens = q.shape[2]
        grad_k, grad_v = (
            blocks.flatten(2, 3)[:, :, :tokens].contiguous() for blocks in (grad_k, grad_v)
        )
        return grad_q.mul_(ctx.scale), grad_k, grad_v, None, None


def _tiles(q: Tensor, pattern: BlockPattern) -> Iterator[Tile]:
    _, heads, tokens, _ = q.shape
    for start in range(0, tokens, tile_tokens(pattern)):
        yield tile_at(pattern, num_heads=heads, num_tokens=tokens, start=start)


def _in_whole_blocks(x: Tensor, pattern: BlockPattern) -> Tensor:
    """B K T E -> B K blocks block_size E, contiguous; the last block is filled up."""
    size = pattern.block_size
    return F.pad(x, (0, 0, 0, -x.shape[2] % size)).unflatten(2, (-1, size)).contiguous()


def _products(rows: Tensor, blocks: Tensor, tile: Tile) -> Tensor:
    """B H Q E with the vectors a tile meets: B H Q W."""
    near = torch.bmm(_by_group(rows, blocks), _near(blocks, tile).transpose(1, 2))
    far = torch.bmm(rows.flatten(0, 1), _far(blocks, tile).transpose(1, 2))
    shape = (*rows.shape[:3], -1)
    return torch.cat((far.view(shape), near.view(shape)), dim=-1)


def _mixture(weight: Tensor, blocks: Tensor, tile: Tile) -> Tensor:
    """The vectors a tile meets, weighted by B H Q W and summed: B H Q E."""
    far, near = _split(weight, tile)
    mixed = torch.bmm(_by_group(near, blocks), _near(blocks, tile)).view(*weight.shape[:3], -1)
    return mixed.add_(torch.bmm(far.flatten(0, 1), _far(blocks, tile)).view_as(mixed))


def _collect(weight: Tensor, rows: Tensor, tile: Tile, *, into: Tensor) -> None:
    """Add rows B H Q E to the vectors a tile meets, weighted by B H Q W: the mixture's gradient."""
    far, near = _split(weight, tile)
    _near(into, tile).baddbmm_(_by_group(near, into).transpose(1, 2), _by_group(rows, into))
    gathered = torch.bmm(far.flatten(0, 1).transpose(1, 2), rows.flatten(0, 1))
    flat = into.flatten(0, 2).flatten(1)  # one row per block
    flat.index_add_(0, _far_index(into, tile), gathered.view(-1, flat.shape[1]))


def _split(weight: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
    num_near = tile.near.stop - tile.near.start
    return weight[..., : weight.shape[-1] - num_near], weight[..., -num_near:]


def _by_group(rows: Tensor, blocks: Tensor) -> Tensor:
    """B H Q … -> G H/K·Q …: the query heads that share a key head are rows of one product."""
    return rows.reshape(blocks.shape[0] * blocks.shape[1], -1, rows.shape[-1])


def _near(blocks: Tensor, tile: Tile) -> Tensor:
    """A view of the near vectors, G N E."""
    return blocks.flatten(2, 3).flatten(0, 1)[:, tile.near]


def _far(blocks: Tensor, tile: Tile) -> Tensor:
    """A copy of each head's far vectors, B·H X·block_size E."""
    batch, *_, size, features = blocks.shape
    heads, num_far = tile.far.shape
    picked = blocks.flatten(0, 2).flatten(1).index_select(0, _far_index(blocks, tile))
    return picked.view(batch * heads, num_far * size, features)


def _far_index(blocks: Tensor, tile: Tile) -> Tensor:
    """Where the far blocks of every sequence and head lie among all blocks, B·H·X."""
    batch, kv_heads, num_blocks = blocks.shape[:3]
    heads = len(tile.far)
    group = torch.arange(heads) // (heads // kv_heads) + torch.arange(batch)[:, None] * kv_heads
    return (group[:, :, None] * num_blocks + tile.far).flatten()

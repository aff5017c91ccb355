"""Block-sparse causal attention of Phi-3-small (Abdin et al. 2024, arXiv 2404.14219, section 2)."""

from functools import lru_cache
from typing import Literal

from pydantic import PositiveInt

from archsmith.architecture.mixers.attention import Attention


class BlockSparseAttention(Attention):
    """Attention over blocks of positions: the nearest ones, and every so many of those before.

    Query block q sees key block k <= q if q - k < `num_local_blocks`, or if k stands on the head's
    stride: (k + 1 + head * max(1, vertical_stride // num_attention_heads)) is a multiple of
    `vertical_stride`. Heads are shifted against each other, so that together they see everything.
    Inside the seen blocks attention is causal.

    Attributes:
        block_size: positions of a block.
        num_local_blocks: blocks seen without gaps, the position's own included.
        vertical_stride: one in so many earlier blocks is seen.
    """

    type: Literal["block_sparse_attention"] = "block_sparse_attention"  # type: ignore[assignment]
    block_size: PositiveInt = 64
    num_local_blocks: PositiveInt = 16
    vertical_stride: PositiveInt = 8
    sliding_window: None = None

    def sees(self, head: int, query_block: int, key_block: int) -> bool:
        """Whether a head's query block attends to a key block."""
        if key_block > query_block:
            return False
        if query_block - key_block < self.num_local_blocks:
            return True
        shift = head * max(1, self.vertical_stride // self.num_attention_heads)
        return (key_block + 1 + shift) % self.vertical_stride == 0

    def mixing_flops(self, context_length: int) -> int:
        return 4 * self.head_dim * _pairs(self, context_length) // context_length


@lru_cache(maxsize=256)
def _pairs(spec: BlockSparseAttention, context_length: int) -> int:
    """Pairs of positions that attend to each other, over all heads."""
    size, stride = spec.block_size, spec.vertical_stride
    widths = [min(size, context_length - start) for start in range(0, context_length, size)]
    total = spec.num_attention_heads * sum(rows * (rows + 1) // 2 for rows in widths)
    step = max(1, stride // spec.num_attention_heads)
    for shift in (head * step for head in range(spec.num_attention_heads)):
        for query, rows in enumerate(widths):
            near = min(query, spec.num_local_blocks - 1)
            # multiples of the stride in (shift, far + shift]: one per block on the stride
            far = query - near
            total += rows * size * (near + (far + shift) // stride - shift // stride)
    return total


PART = BlockSparseAttention

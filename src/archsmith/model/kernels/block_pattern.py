"""Which blocks of positions see each other in Phi-3-small's block-sparse attention.

The rule is `archsmith.architecture.mixers.block_sparse_attention`'s, here for tensors of positions.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor


class BlockPattern(NamedTuple):
    """A spec's pattern; `head_shift` is how many blocks a head's stride is off its neighbour's."""

    block_size: int
    num_local_blocks: int
    vertical_stride: int
    head_shift: int

    @property
    def local_tokens(self) -> int:
        """Texts of at most so many tokens are seen without gaps."""
        return self.block_size * self.num_local_blocks

    def on_stride(self, heads: Tensor, key_blocks: Tensor) -> Tensor:
        """True where a head sees a key block however far away; the arguments broadcast."""
        return (key_blocks + 1 + heads * self.head_shift) % self.vertical_stride == 0

    def sees(self, heads: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        """True where a head's query position looks at a key position; the arguments broadcast."""
        query_blocks, key_blocks = queries // self.block_size, keys // self.block_size
        near = query_blocks - key_blocks < self.num_local_blocks
        return (keys <= queries) & (near | self.on_stride(heads, key_blocks))


@lru_cache(maxsize=4)
def visible(
    pattern: BlockPattern, *, num_heads: int, num_queries: int, num_keys: int, device: torch.device
) -> Bool[Tensor, "H T S"]:
    """True where a query looks; the queries are the last of the keys' positions."""
    keys = torch.arange(num_keys, device=device)
    heads = torch.arange(num_heads, device=device)[:, None, None]
    return pattern.sees(heads, keys[num_keys - num_queries :, None], keys)

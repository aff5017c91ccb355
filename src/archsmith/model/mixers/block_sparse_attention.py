"""Block-sparse causal attention of Phi-3-small (Abdin et al. 2024, arXiv 2404.14219, section 2).

Weights, biases, rotary embedding and cache are those of attention; only what is seen differs.
"""

from jaxtyping import Float
from torch import Tensor

from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.architecture.norm import Norm
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.block_pattern import BlockPattern
from archsmith.model.mixers.attention import AttentionModule


class BlockSparseAttentionModule(AttentionModule):
    """Attention to the nearest blocks of positions and, by head, to every so many before."""

    def __init__(
        self, spec: BlockSparseAttention, hidden_size: int, norm: Norm, max_position_embeddings: int
    ) -> None:
        super().__init__(spec, hidden_size, norm, max_position_embeddings)
        self._pattern = BlockPattern(
            block_size=spec.block_size,
            num_local_blocks=spec.num_local_blocks,
            vertical_stride=spec.vertical_stride,
            head_shift=max(1, spec.vertical_stride // spec.num_attention_heads),
        )

    def _attend(
        self,
        q: Float[Tensor, "B H T E"],
        k: Float[Tensor, "B K S E"],
        v: Float[Tensor, "B K S E"],
        kernels: Kernels,
    ) -> Float[Tensor, "B H T E"]:
        return kernels.attend_blocks(q, k, v, self._pattern, self.spec.softmax_scale)


PART = BlockSparseAttentionModule

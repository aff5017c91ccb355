"""Phi-3-small (Abdin et al. 2024, arXiv 2404.14219): every other layer is block-sparse.

Numbers of microsoft/Phi-3-small-8k-instruct's `config.json`: LayerNorm and biases, GEGLU cut off at
20, muP's multipliers (embeddings times 10, logits divided by 8, scores by the head size instead of
its root). Its attention has no stock class in transformers and none in llama.cpp.
"""

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer


def phi_3_small() -> Architecture:
    """Phi-3-small-8k: 7.4B parameters; block-sparse and dense layers alternate."""
    norm = Norm(type="layer")
    heads = {
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope": Rope(theta=1_000_000.0),
        "qkv_bias": True,
        "output_bias": True,
        "attention_multiplier": 1.0 / 128,
    }
    block = GatedMlp(intermediate_size=14336, activation="gegelu", activation_limit=20.0, bias=True)
    sparse, dense = (
        Layer(mixer=kind.model_validate(heads), feed_forward=block, norm=norm)
        for kind in (BlockSparseAttention, Attention)
    )
    return Architecture(
        hidden_size=4096,
        vocab_size=100352,
        max_position_embeddings=8192,
        layers=(sparse, dense) * 16,
        final_norm=norm,
        tie_word_embeddings=True,
        embedding_multiplier=10.0,
        logits_scaling=8.0,
    )

"""Llama 3.2 (Grattafiori et al. 2024, arXiv 2407.21783, and the published `config.json` files).

At the context of 8192 tokens, and without the rotary scaling that divides each frequency by a
constant of its own: it belongs to the published weights, and comes with them when they are read.
"""

from archsmith.architecture.tree import Architecture
from archsmith.presets._build import gated


def llama_3_2_1b() -> Architecture:
    """Llama 3.2 1B."""
    return _llama(hidden_size=2048, depth=16, head_dim=64)


def llama_3_2_3b() -> Architecture:
    """Llama 3.2 3B."""
    return _llama(hidden_size=3072, depth=28, head_dim=128)


def _llama(*, hidden_size: int, depth: int, head_dim: int) -> Architecture:
    return gated(
        hidden_size=hidden_size,
        depth=depth,
        num_attention_heads=hidden_size // head_dim,
        num_key_value_heads=8,
        head_dim=head_dim,
        intermediate_size=8192,
        vocab_size=128256,
        context_tokens=8192,
        theta=500_000.0,
        tied=True,
    )

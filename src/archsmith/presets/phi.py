"""phi-1 to phi-2: attention and MLP side by side behind one LayerNorm, biases everywhere.

Gunasekar et al. 2023 (arXiv 2306.11644), Li et al. 2023 (arXiv 2309.05463), and the published
`config.json` of microsoft/phi-1, phi-1_5 and phi-2. The vocabulary is CodeGen's, padded to 51200.
"""

from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer


def phi_1_small() -> Architecture:
    """phi-1-small: 0.36B parameters; described in the paper, its weights were not published."""
    return _phi(hidden_size=1024, depth=20, head_dim=64, partial_rotary_factor=0.5)


def phi_1() -> Architecture:
    """phi-1: 1.4B parameters, code."""
    return _phi(hidden_size=2048, depth=24, head_dim=64, partial_rotary_factor=0.5)


def phi_1_5() -> Architecture:
    """phi-1.5: the architecture of phi-1, other data."""
    return phi_1()


def phi_2() -> Architecture:
    """phi-2: 2.8B parameters."""
    return _phi(hidden_size=2560, depth=32, head_dim=80, partial_rotary_factor=0.4)


def _phi(
    *, hidden_size: int, depth: int, head_dim: int, partial_rotary_factor: float
) -> Architecture:
    norm = Norm(type="layer")
    heads = hidden_size // head_dim
    layer = Layer(
        mixer=Attention(
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_dim,
            rope=Rope(partial_rotary_factor=partial_rotary_factor),
            qkv_bias=True,
            output_bias=True,
        ),
        feed_forward=Mlp(intermediate_size=4 * hidden_size),
        norm=norm,
        residual="parallel",
    )
    return Architecture(
        hidden_size=hidden_size,
        vocab_size=51200,
        max_position_embeddings=2048,
        layers=(layer,) * depth,
        final_norm=norm,
        tie_word_embeddings=False,
        lm_head_bias=True,
    )

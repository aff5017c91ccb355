"""Published architectures, and their shapes scaled down; imports no torch.

Numbers are those of the published `config.json` files and papers: Phi (Gunasekar et al. 2023,
arXiv 2306.11644; Li et al. 2023, 2309.05463; Abdin et al. 2024, 2404.14219 and 2412.08905),
Llama (Touvron et al. 2023, arXiv 2302.13971; Grattafiori et al. 2024, 2407.21783) and Qwen3
(Yang et al. 2025, 2505.09388). Counts of parameters match the published weights to the last one.
"""

import itertools
import math
from collections.abc import Callable, Sequence

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer, Quantization

# (width, depth) of published models whose shape people copy.
# llama2.c's 260K, 15M, 42M and 110M (github.com/karpathy/llama2.c), Llama 3.2 1B, Llama 2 7B
_LLAMA_HABIT = ((64, 5), (288, 6), (512, 8), (768, 12), (2048, 16), (4096, 32))
# phi-1-small (arXiv 2306.11644), phi-1, Phi-3-mini, Phi-3-medium
_PHI_HABIT = ((1024, 20), (2048, 24), (3072, 32), (5120, 40))


def phi_1() -> Architecture:
    """phi-1: 1.4B parameters, code."""
    return _phi(hidden_size=2048, depth=24, head_dim=64, partial_rotary_factor=0.5)


def phi_1_5() -> Architecture:
    """phi-1.5: the architecture of phi-1, other data."""
    return phi_1()


def phi_2() -> Architecture:
    """phi-2: 2.8B parameters."""
    return _phi(hidden_size=2560, depth=32, head_dim=80, partial_rotary_factor=0.4)


def phi_3_mini(*, sliding_window: int | None = None) -> Architecture:
    """Phi-3-mini-4k: 3.8B parameters.

    The published config declares a `sliding_window` of 2047, which llama.cpp does not apply; give
    it to have the network as published.
    """
    return _gated(
        hidden_size=3072,
        depth=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        head_dim=96,
        intermediate_size=8192,
        vocab_size=32064,
        context_tokens=4096,
        sliding_window=sliding_window,
    )


def phi_3_medium() -> Architecture:
    """Phi-3-medium-4k: 14B parameters."""
    return _phi_14b(vocab_size=32064, context_tokens=4096, theta=10_000.0)


def phi_4() -> Architecture:
    """phi-4: 14.7B parameters."""
    return _phi_14b(vocab_size=100352, context_tokens=16384, theta=250_000.0)


def llama_3_2_1b() -> Architecture:
    """Llama 3.2 1B, at the context of 8192 tokens below which its rotary scaling is not needed."""
    return _gated(
        hidden_size=2048,
        depth=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        intermediate_size=8192,
        vocab_size=128256,
        context_tokens=8192,
        theta=500_000.0,
        tied=True,
    )


def qwen3_0_6b() -> Architecture:
    """Qwen3 0.6B; its heads together are twice as wide as the network."""
    return _gated(
        hidden_size=1024,
        depth=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=3072,
        vocab_size=151936,
        context_tokens=40960,
        theta=1_000_000.0,
        tied=True,
        qk_norm=True,
        eps=1e-6,
    )


PRESETS: dict[str, Callable[[], Architecture]] = {
    "phi_1": phi_1,
    "phi_1_5": phi_1_5,
    "phi_2": phi_2,
    "phi_3_mini": phi_3_mini,
    "phi_3_medium": phi_3_medium,
    "phi_4": phi_4,
    "llama_3_2_1b": llama_3_2_1b,
    "qwen3_0_6b": qwen3_0_6b,
}


def scaled_llama(
    hidden_size: int,
    *,
    vocab_size: int,
    context_tokens: int,
    quantization: Quantization = "F16",
) -> Architecture:
    """A Llama of this width as people draw it by hand: published depths, heads of 64, tied table.

    Args:
        hidden_size: a multiple of 32.
        context_tokens: the context in tokens.
    """
    head_dim = 64 if hidden_size % 64 == 0 and hidden_size >= 256 else 32
    heads = hidden_size // head_dim
    return _gated(
        hidden_size=hidden_size,
        depth=_habitual_depth(hidden_size, _LLAMA_HABIT),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        intermediate_size=32 * round(hidden_size * 8 / 3 / 32),
        vocab_size=vocab_size,
        context_tokens=context_tokens,
        tied=True,
        quantization=quantization,
    )


def scaled_phi3(
    hidden_size: int,
    *,
    vocab_size: int,
    context_tokens: int,
    quantization: Quantization = "F16",
) -> Architecture:
    """Phi-3-mini at this width: the Phi models' depths, as many keys as heads, untied table.

    Args:
        hidden_size: a multiple of 32; heads are 96 wide where that divides it, as Phi-3-mini's.
        context_tokens: the context in tokens.
    """
    head_dim = next(size for size in (96, 64, 32) if hidden_size % size == 0)
    heads = hidden_size // head_dim
    return _gated(
        hidden_size=hidden_size,
        depth=_habitual_depth(hidden_size, _PHI_HABIT),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        intermediate_size=32 * round(hidden_size * 8 / 3 / 32),
        vocab_size=vocab_size,
        context_tokens=context_tokens,
        quantization=quantization,
    )


def _habitual_depth(hidden_size: int, habit: Sequence[tuple[int, int]]) -> int:
    """Between published shapes on a straight line in logarithms; outside, the end's width/depth."""
    (first_width, first_depth), (last_width, last_depth) = habit[0], habit[-1]
    if hidden_size <= first_width:
        return max(1, round(hidden_size * first_depth / first_width))
    if hidden_size >= last_width:
        return round(hidden_size * last_depth / last_width)
    for (left, shallow), (right, deep) in itertools.pairwise(habit):
        if hidden_size <= right:
            share = math.log(hidden_size / left) / math.log(right / left)
            return round(shallow * (deep / shallow) ** share)
    raise AssertionError("the habit's widths ascend")


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


def _phi_14b(*, vocab_size: int, context_tokens: int, theta: float) -> Architecture:
    return _gated(
        hidden_size=5120,
        depth=40,
        num_attention_heads=40,
        num_key_value_heads=10,
        head_dim=128,
        intermediate_size=17920,
        vocab_size=vocab_size,
        context_tokens=context_tokens,
        theta=theta,
    )


def _gated(
    *,
    hidden_size: int,
    depth: int,
    num_attention_heads: int,
    num_key_value_heads: int,
    head_dim: int,
    intermediate_size: int,
    vocab_size: int,
    context_tokens: int,
    theta: float = 10_000.0,
    tied: bool = False,
    qk_norm: bool = False,
    eps: float = 1e-5,
    sliding_window: int | None = None,
    quantization: Quantization = "F16",
) -> Architecture:
    norm = Norm(eps=eps)
    layer = Layer(
        mixer=Attention(
            num_attention_heads=num_attention_heads,
            num_key_value_heads=num_key_value_heads,
            head_dim=head_dim,
            rope=Rope(theta=theta),
            qk_norm=qk_norm,
            sliding_window=sliding_window,
        ),
        feed_forward=GatedMlp(intermediate_size=intermediate_size),
        norm=norm,
    )
    return Architecture(
        hidden_size=hidden_size,
        vocab_size=vocab_size,
        max_position_embeddings=context_tokens,
        layers=(layer,) * depth,
        final_norm=norm,
        tie_word_embeddings=tied,
        quantization=quantization,
    )

"""Shapes as people draw them by hand: published widths and depths, scaled down.

Llama (Touvron et al. 2023, arXiv 2302.13971) and Phi-3 (Abdin et al. 2024, arXiv 2404.14219).
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from archsmith.architecture.tree import Architecture, Quantization
from archsmith.presets._build import gated

# (width, depth) of published models whose shape people copy.
# llama2.c's 260K, 15M, 42M and 110M (github.com/karpathy/llama2.c), Llama 3.2 1B, Llama 2 7B
_LLAMA_HABIT = ((64, 5), (288, 6), (512, 8), (768, 12), (2048, 16), (4096, 32))
# phi-1-small (arXiv 2306.11644), phi-1, Phi-3-mini, Phi-3-medium
_PHI_HABIT = ((1024, 20), (2048, 24), (3072, 32), (5120, 40))


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
    return _drawn(
        hidden_size,
        head_dim=head_dim,
        habit=_LLAMA_HABIT,
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
    return _drawn(
        hidden_size,
        head_dim=head_dim,
        habit=_PHI_HABIT,
        vocab_size=vocab_size,
        context_tokens=context_tokens,
        quantization=quantization,
    )


def _drawn(
    hidden_size: int, *, head_dim: int, habit: Sequence[tuple[int, int]], **rest: Any
) -> Architecture:
    """As many keys as heads, SwiGLU 8/3 as wide as the network, a depth by habit."""
    heads = hidden_size // head_dim
    return gated(
        hidden_size=hidden_size,
        depth=_habitual_depth(hidden_size, habit),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        intermediate_size=32 * round(hidden_size * 8 / 3 / 32),
        **rest,
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

"""Phi-3 to Phi-4: Llama-like; long contexts by LongRoPE.

Abdin et al. 2024 (arXiv 2404.14219 and 2412.08905), Abouelenin et al. 2025 (arXiv 2503.01743), and
the published `config.json` files. The long-context models declare a window of 262144 tokens, twice
their context, which masks nothing; it is left out here.
"""

from archsmith.architecture.rope import LongRope
from archsmith.architecture.tree import Architecture
from archsmith.presets._build import gated
from archsmith.presets.long_rope import published_long_ropes


def phi_3_mini(*, sliding_window: int | None = None) -> Architecture:
    """Phi-3-mini-4k: 3.8B parameters.

    The published config declares a `sliding_window` of 2047, which llama.cpp does not apply; give
    it to have the network as published.
    """
    return _mini(context_tokens=4096, sliding_window=sliding_window)


def phi_3_mini_128k() -> Architecture:
    """Phi-3-mini-128k, as updated in June 2024: Phi-3-mini with LongRoPE to 131072 tokens."""
    return _mini(context_tokens=131072, long_rope=published_long_ropes()["phi_3_mini_128k"])


def phi_3_5_mini() -> Architecture:
    """Phi-3.5-mini: the architecture of Phi-3-mini-128k with other LongRoPE factors."""
    return _mini(context_tokens=131072, long_rope=published_long_ropes()["phi_3_5_mini"])


def phi_3_medium() -> Architecture:
    """Phi-3-medium-4k: 14B parameters."""
    return _medium(vocab_size=32064, context_tokens=4096, theta=10_000.0)


def phi_4() -> Architecture:
    """phi-4: 14.7B parameters."""
    return _medium(vocab_size=100352, context_tokens=16384, theta=250_000.0)


def phi_4_mini() -> Architecture:
    """Phi-4-mini: 3.8B parameters, three query heads per key-value head, a tied table of 200064."""
    return gated(
        hidden_size=3072,
        depth=32,
        num_attention_heads=24,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=8192,
        vocab_size=200064,
        context_tokens=131072,
        partial_rotary_factor=0.75,
        long_rope=published_long_ropes()["phi_4_mini"],
        tied=True,
    )


def _mini(
    *, context_tokens: int, long_rope: LongRope | None = None, sliding_window: int | None = None
) -> Architecture:
    return gated(
        hidden_size=3072,
        depth=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        head_dim=96,
        intermediate_size=8192,
        vocab_size=32064,
        context_tokens=context_tokens,
        long_rope=long_rope,
        sliding_window=sliding_window,
    )


def _medium(*, vocab_size: int, context_tokens: int, theta: float) -> Architecture:
    return gated(
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

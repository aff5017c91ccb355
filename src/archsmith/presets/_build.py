"""What most presets share: equal layers behind RMSNorm, gated feed-forward blocks or experts."""

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import LongRope, Rope
from archsmith.architecture.tree import Architecture, Layer, Quantization


def gated(
    *,
    hidden_size: int,
    depth: int,
    num_attention_heads: int,
    num_key_value_heads: int,
    head_dim: int,
    vocab_size: int,
    context_tokens: int,
    intermediate_size: int | None = None,
    feed_forward: FeedForward | None = None,
    theta: float = 10_000.0,
    partial_rotary_factor: float = 1.0,
    long_rope: LongRope | None = None,
    tied: bool = False,
    qk_norm_over: str = "",
    eps: float = 1e-5,
    sliding_window: int | None = None,
    quantization: Quantization = "F16",
) -> Architecture:
    """A network of equal layers; `intermediate_size` (SwiGLU) or `feed_forward` says of what."""
    if feed_forward is None:
        assert intermediate_size is not None
        feed_forward = GatedMlp(intermediate_size=intermediate_size)
    norm = Norm(eps=eps)
    layer = Layer(
        mixer=Attention(
            num_attention_heads=num_attention_heads,
            num_key_value_heads=num_key_value_heads,
            head_dim=head_dim,
            rope=Rope(
                theta=theta, partial_rotary_factor=partial_rotary_factor, long_rope=long_rope
            ),
            qk_norm=bool(qk_norm_over),
            qk_norm_over="all_heads" if qk_norm_over == "all_heads" else "head",
            sliding_window=sliding_window,
        ),
        feed_forward=feed_forward,
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

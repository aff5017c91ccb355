"""Why attention does not fit a carrier: heads, rotary embedding, windows."""

from collections.abc import Sequence

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carrier_rules import window_of

# llama.cpp rounds a context up to a multiple of this many tokens
CONTEXT_STEP = 256


def heads_divide(architecture: Architecture, mixer: Attention) -> list[str]:
    """Transformers' LlamaConfig wants it even where head_dim is given."""
    if architecture.hidden_size % mixer.num_attention_heads:
        return [
            f"num_attention_heads must divide hidden_size, got {mixer.num_attention_heads} "
            f"and {architecture.hidden_size}"
        ]
    return []


def head_dim_follows(architecture: Architecture, mixer: Attention) -> list[str]:
    """For classes that derive it."""
    if mixer.query_size != architecture.hidden_size:
        return [
            "head_dim must be hidden_size / num_attention_heads, got "
            f"{mixer.head_dim} for {architecture.hidden_size} / {mixer.num_attention_heads}"
        ]
    return []


def full_rope(mixer: Attention) -> list[str]:
    """Every feature of a head is rotated."""
    if mixer.rope is None:
        return ["rope is required"]
    if mixer.rope.rotary_dim(mixer.head_dim) != mixer.head_dim:
        return [f"partial_rotary_factor must be 1, got {mixer.rope.partial_rotary_factor}"]
    return []


def partial_rope(mixer: Attention) -> list[str]:
    """Some features are; transformers and llama.cpp truncate an odd number differently."""
    if mixer.rope is None:
        return ["rope is required"]
    exact = int(mixer.head_dim * mixer.rope.partial_rotary_factor)
    if exact % 2 or exact == 0:
        return [
            f"partial_rotary_factor {mixer.rope.partial_rotary_factor} rotates {exact} of "
            f"{mixer.head_dim} features; an even number is needed"
        ]
    return []


def qk_norm(mixer: Attention, *, wanted: bool) -> list[str]:
    """Whether queries and keys are normalized as wanted."""
    return [] if mixer.qk_norm == wanted else [f"qk_norm must be {str(wanted).lower()}"]


def of_llama(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Llama's attention."""
    mixer = mixers[0]
    return [
        *qk_norm(mixer, wanted=False),
        *full_rope(mixer),
        *heads_divide(architecture, mixer),
    ]


def of_qwen3(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Qwen3's: heads are normalized and need not divide the width."""
    mixer = mixers[0]
    found = [*qk_norm(mixer, wanted=True), *full_rope(mixer)]
    if mixer.output_bias:
        found.append("output_bias must be false")
    if getattr(architecture.layers[0].feed_forward, "bias", False):
        found.append("feed_forward.bias must be false")
    return found


def of_phi(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Phi's: a part of each head is rotated."""
    mixer = mixers[0]
    return [
        *qk_norm(mixer, wanted=False),
        *partial_rope(mixer),
        *head_dim_follows(architecture, mixer),
    ]


def of_phi3(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Phi-3's: as Phi's, with one attention factor for both ranges of LongRoPE."""
    found = of_phi(architecture, mixers)
    rope = mixers[0].rope
    if rope is not None and rope.long_rope is not None:
        short, long = rope.long_rope.short_attention_factor, rope.long_rope.long_attention_factor
        if short != long:
            found.append(
                "long_rope's short_attention_factor and long_attention_factor must be equal, "
                f"got {short} and {long}"
            )
    return found


def long_rope_in_llamacpp(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    """llama.cpp rotates by the long factors where its context, rounded up, is past the switch."""
    original = switch_of(architecture)
    if original is not None and original < CONTEXT_STEP:
        return [
            f"long_rope.original_max_position_embeddings must be at least {CONTEXT_STEP}, got "
            f"{original}: llama.cpp's contexts are no shorter, so it would never use short_factor"
        ]
    return []


def switch_of(architecture: Architecture) -> int | None:
    """Tokens of a text up to which LongRoPE turns by other frequencies than beyond; or None."""
    for layer in architecture.layers:
        rope = layer.mixer.rope
        if rope is not None and rope.long_rope is not None:
            same = rope.long_rope.short_factor == rope.long_rope.long_factor
            return None if same else int(rope.long_rope.original_max_position_embeddings)
    return None


def of_starcoder2(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """StarCoder2's."""
    mixer = mixers[0]
    return [
        *qk_norm(mixer, wanted=False),
        *full_rope(mixer),
        *head_dim_follows(architecture, mixer),
    ]


def of_granite_swa(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Granite-SWA's: layers may differ in window and in whether they rotate."""
    mixer = mixers[0]
    found = [*qk_norm(mixer, wanted=False), *head_dim_follows(architecture, mixer)]
    ropes = {m.rope for m in mixers if m.rope is not None}
    if len(ropes) > 1:
        found.append("layers that have rope must have the same")
    if any(r.rotary_dim(mixer.head_dim) != mixer.head_dim for r in ropes):
        found.append("partial_rotary_factor must be 1")
    return found + one_window(architecture, mixers)


def some_rope_in_llamacpp(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
    """llama.cpp aborts where nothing reads the positions."""
    if any(kind.mixer.rope is not None for kind in kinds):
        return []
    return ["a layer at least must have rope: llama.cpp aborts without any"]


def one_window(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """The files hold one window for all layers that have one."""
    windows = {window_of(architecture, m) for m in mixers} - {None}
    return ["layers that have a sliding_window must have the same"] if len(windows) > 1 else []

"""Why an architecture does not fit a carrier, one sentence per reason."""

from collections.abc import Callable, Sequence
from typing import Any

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carriers import Refusals

# llama.cpp rounds a context up to a multiple of this many tokens
CONTEXT_STEP = 256
_FEED_FORWARDS = {"gated_mlp", "mlp", "mixture_of_experts"}

AttentionRules = Callable[[Architecture, Sequence[Attention]], list[str]]


def window_of(architecture: Architecture, mixer: Attention) -> int | None:
    """The window that matters: one as long as the context masks nothing."""
    window = mixer.sliding_window
    if window is None or window >= architecture.max_position_embeddings:
        return None
    return window


def unknown_blocks(kinds: Sequence[Layer]) -> list[str]:
    """Blocks that no carrier knows."""
    types = {layer.mixer.type for layer in kinds} - {"attention"}
    types |= {layer.feed_forward.type for layer in kinds} - _FEED_FORWARDS
    return [f"the block '{name}' has no carrier" for name in sorted(types)]


def refusals(
    *,
    norm: str,
    residual: str,
    feed_forward: str,
    attention: AttentionRules,
    activation: str = "silu",
    varying: tuple[str, ...] = (),
    varying_block: tuple[str, ...] = (),
    windows: bool = False,
    biases: str = "",
    head_bias: bool | None = False,
    tied: bool | None = None,
    carries: frozenset[str] = frozenset(),
    block: Callable[[Any], list[str]] | None = None,
) -> Refusals:
    """A function of the reasons against a carrier with these properties.

    `varying`, `varying_block`: fields of the attention and of the feed-forward that may differ
    between layers. `biases`: "all", "none" or "". `head_bias`, `tied`: None for either. `carries`:
    those of the uncommon fields (`_uncommon`) that the carrier has a place for. `block`: reasons
    against a feed-forward of the right type.
    """

    def reasons(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
        found = unknown_blocks(kinds)
        if found:
            return found
        layer = kinds[0]
        if not _uniform(kinds, varying, varying_block):
            what = " but " + ", ".join([*varying, *varying_block]) if varying else ""
            found.append(f"layers must be alike in everything{what}")
        found += wrong_frame(architecture, layer, norm=norm, residual=residual)
        if layer.feed_forward.type != feed_forward:
            found.append(f"feed_forward must be '{feed_forward}', got '{layer.feed_forward.type}'")
        elif block is not None:
            found += block(layer.feed_forward)
        if layer.feed_forward.activation != activation:
            found.append(
                f"activation must be '{activation}', got '{layer.feed_forward.activation}'"
            )
        if biases:
            found += wrong_biases(layer, biases == "all")
        if head_bias is not None and architecture.lm_head_bias != head_bias:
            found.append(f"lm_head_bias must be {str(head_bias).lower()}")
        if tied is not None and architecture.tie_word_embeddings != tied:
            found.append(f"tie_word_embeddings must be {str(tied).lower()}")
        if not windows and any(window_of(architecture, kind.mixer) for kind in kinds):
            found.append("sliding_window is not carried")
        found += not_carried(architecture, kinds, carries)
        return found + attention(architecture, [kind.mixer for kind in kinds])

    return reasons


def wrong_frame(architecture: Architecture, layer: Layer, *, norm: str, residual: str) -> list[str]:
    """Reasons against norms and residual."""
    found = []
    if layer.norm.type != norm:
        found.append(f"norm must be '{norm}', got '{layer.norm.type}'")
    if architecture.final_norm != layer.norm:
        found.append("final_norm must equal the layers' norm: the files hold one type and eps")
    if layer.residual != residual:
        found.append(f"residual must be '{residual}', got '{layer.residual}'")
    return found


def wrong_biases(layer: Layer, wanted: bool) -> list[str]:  # noqa: FBT001 - the value of a bias
    """Biases of a layer that are not as wanted; experts have none."""
    given = {
        "qkv_bias": layer.mixer.qkv_bias,
        "output_bias": layer.mixer.output_bias,
        "feed_forward.bias": getattr(layer.feed_forward, "bias", wanted),
    }
    return [
        f"{name} must be {str(wanted).lower()}" for name, value in given.items() if value != wanted
    ]


def not_carried(
    architecture: Architecture, kinds: Sequence[Layer], carries: frozenset[str]
) -> list[str]:
    """Uncommon fields in use for which a carrier has no place."""
    return [f"{name} is not carried" for name in sorted(_uncommon(architecture, kinds) - carries)]


def _uncommon(architecture: Architecture, kinds: Sequence[Layer]) -> set[str]:
    """Fields that differ from what nearly every stock class computes."""
    multipliers = ("embedding_multiplier", "residual_multiplier", "logits_scaling")
    found = {name for name in multipliers if getattr(architecture, name) != 1.0}
    for layer in kinds:
        mixer, block = layer.mixer, layer.feed_forward
        if mixer.attention_multiplier is not None:
            found.add("attention_multiplier")
        if mixer.rope is not None and mixer.rope.long_rope is not None:
            found.add("long_rope")
        if mixer.qk_norm and mixer.qk_norm_over != "head":
            found.add("qk_norm_over")
        if getattr(block, "activation_limit", None) is not None:
            found.add("activation_limit")
    return found


def _uniform(kinds: Sequence[Layer], varying: tuple[str, ...], block: tuple[str, ...]) -> bool:
    """Whether layers differ in nothing but the given fields of their mixer and feed-forward."""
    if len(kinds) == 1:
        return True
    if not varying or len({layer.feed_forward.type for layer in kinds}) > 1:
        return False

    def plain(layer: Layer) -> Layer:
        mixer = layer.mixer.model_copy(update=dict.fromkeys(varying))
        feed_forward = layer.feed_forward.model_copy(update=dict.fromkeys(block))
        return layer.model_copy(update={"mixer": mixer, "feed_forward": feed_forward})

    first = plain(kinds[0])
    return all(plain(kind) == first for kind in kinds[1:])


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

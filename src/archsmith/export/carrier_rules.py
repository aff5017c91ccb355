"""Why an architecture does not fit a carrier, one sentence per reason."""

from collections.abc import Callable, Sequence

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer


def window_of(architecture: Architecture, mixer: Attention) -> int | None:
    """The window that matters: one as long as the context masks nothing."""
    window = mixer.sliding_window
    if window is None or window >= architecture.max_position_embeddings:
        return None
    return window


def _blocks(kinds: Sequence[Layer]) -> list[str]:
    types = {layer.mixer.type for layer in kinds} - {"attention"}
    types |= {layer.feed_forward.type for layer in kinds} - {"gated_mlp", "mlp"}
    return [f"the block '{name}' has no carrier" for name in sorted(types)]


def refusals(
    *,
    norm: str,
    residual: str,
    feed_forward: type,
    activation: str,
    attention: Callable[[Architecture, Sequence[Attention]], list[str]],
    varying: tuple[str, ...] = (),
    windows: bool = False,
    biases: str = "",
    head_bias: bool = False,
    tied: bool | None = None,
    carries: frozenset[str] = frozenset(),
) -> Callable[[Architecture, Sequence[Layer]], list[str]]:
    """A function of the reasons against a carrier with these properties.

    `varying`: fields of attention that may differ between layers. `biases`: "all", "none" or "".
    `carries`: those of the uncommon fields (`_uncommon`) that the carrier has a place for.
    """

    def reasons(architecture: Architecture, kinds: Sequence[Layer]) -> list[str]:
        found = _blocks(kinds)
        if found:
            return found
        layer = kinds[0]
        if not _uniform(kinds, varying):
            found.append("per-layer widths have no uniform carrier; give every layer the same")
        if layer.norm.type != norm:
            found.append(f"norm must be '{norm}', got '{layer.norm.type}'")
        if architecture.final_norm != layer.norm:
            found.append("final_norm must equal the layers' norm: the files hold one type and eps")
        if layer.residual != residual:
            found.append(f"residual must be '{residual}', got '{layer.residual}'")
        block = layer.feed_forward
        if not isinstance(block, feed_forward):
            wanted = "gated_mlp" if feed_forward is GatedMlp else "mlp"
            found.append(f"feed_forward must be '{wanted}', got '{block.type}'")
        if block.activation != activation:
            found.append(f"activation must be '{activation}', got '{block.activation}'")
        mixer = layer.mixer
        given = {
            "qkv_bias": mixer.qkv_bias,
            "output_bias": mixer.output_bias,
            "feed_forward.bias": block.bias,
        }
        if biases:
            wrong = [name for name, value in given.items() if value != (biases == "all")]
            found += [f"{name} must be {str(biases == 'all').lower()}" for name in wrong]
        if architecture.lm_head_bias != head_bias:
            found.append(f"lm_head_bias must be {str(head_bias).lower()}")
        if tied is not None and architecture.tie_word_embeddings != tied:
            found.append(f"tie_word_embeddings must be {str(tied).lower()}")
        if not windows and any(window_of(architecture, kind.mixer) for kind in kinds):
            found.append("sliding_window is not carried")
        found += [
            f"{name} is not carried" for name in sorted(_uncommon(architecture, kinds) - carries)
        ]
        return found + attention(architecture, [kind.mixer for kind in kinds])

    return reasons


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


def _uniform(kinds: Sequence[Layer], varying: tuple[str, ...]) -> bool:
    """Whether layers differ in nothing but the `varying` fields of their mixer."""
    if len(kinds) == 1:
        return True
    drop = dict.fromkeys(varying)

    def plain(layer: Layer) -> Layer:
        return layer.model_copy(update={"mixer": layer.mixer.model_copy(update=drop)})

    first = plain(kinds[0])
    return bool(varying) and all(plain(kind) == first for kind in kinds[1:])


def _heads_divide(architecture: Architecture, mixer: Attention) -> list[str]:
    if architecture.hidden_size % mixer.num_attention_heads:
        return [
            f"num_attention_heads must divide hidden_size, got {mixer.num_attention_heads} "
            f"and {architecture.hidden_size}"
        ]
    return []


def _head_dim_follows(architecture: Architecture, mixer: Attention) -> list[str]:
    if mixer.query_size != architecture.hidden_size:
        return [
            "head_dim must be hidden_size / num_attention_heads, got "
            f"{mixer.head_dim} for {architecture.hidden_size} / {mixer.num_attention_heads}"
        ]
    return []


def _full_rope(mixer: Attention) -> list[str]:
    if mixer.rope is None:
        return ["rope is required"]
    if mixer.rope.rotary_dim(mixer.head_dim) != mixer.head_dim:
        return [f"partial_rotary_factor must be 1, got {mixer.rope.partial_rotary_factor}"]
    return []


def _partial_rope(mixer: Attention) -> list[str]:
    if mixer.rope is None:
        return ["rope is required"]
    exact = int(mixer.head_dim * mixer.rope.partial_rotary_factor)
    if exact % 2 or exact == 0:
        return [
            f"partial_rotary_factor {mixer.rope.partial_rotary_factor} rotates {exact} of "
            f"{mixer.head_dim} features; an even number is needed"
        ]
    return []


def _qk_norm(mixer: Attention, *, wanted: bool) -> list[str]:
    return [] if mixer.qk_norm == wanted else [f"qk_norm must be {str(wanted).lower()}"]


def of_llama(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Llama's attention."""
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_full_rope(mixer),
        *_heads_divide(architecture, mixer),
    ]


def of_qwen3(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Qwen3's: heads are normalized and need not divide the width."""
    mixer = mixers[0]
    found = [*_qk_norm(mixer, wanted=True), *_full_rope(mixer)]
    if mixer.output_bias:
        found.append("output_bias must be false")
    if architecture.layers[0].feed_forward.bias:
        found.append("feed_forward.bias must be false")
    return found


def of_phi(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Phi's and Phi-3's: a part of each head is rotated."""
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_partial_rope(mixer),
        *_head_dim_follows(architecture, mixer),
    ]


def of_starcoder2(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """StarCoder2's."""
    mixer = mixers[0]
    return [
        *_qk_norm(mixer, wanted=False),
        *_full_rope(mixer),
        *_head_dim_follows(architecture, mixer),
    ]


def of_granite_swa(architecture: Architecture, mixers: Sequence[Attention]) -> list[str]:
    """Granite-SWA's: layers may differ in window and in whether they rotate."""
    mixer = mixers[0]
    found = [*_qk_norm(mixer, wanted=False), *_head_dim_follows(architecture, mixer)]
    ropes = {m.rope for m in mixers if m.rope is not None}
    if len(ropes) > 1:
        found.append("layers that have rope must have the same")
    if any(r.rotary_dim(mixer.head_dim) != mixer.head_dim for r in ropes):
        found.append("partial_rotary_factor must be 1")
    windows = {window_of(architecture, m) for m in mixers} - {None}
    if len(windows) > 1:
        found.append("layers that have a sliding_window must have the same")
    return found

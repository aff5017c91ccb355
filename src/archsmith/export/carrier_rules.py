"""Why an architecture does not fit a carrier, one sentence per reason."""

from collections.abc import Callable, Sequence
from typing import Any

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carriers import Refusals

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

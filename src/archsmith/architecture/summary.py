"""An architecture in one line for people: layers, heads, what varies between layers, experts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.units import format_count

if TYPE_CHECKING:
    from archsmith.architecture.tree import Architecture, Layer


def summarize(architecture: "Architecture") -> str:
    """One line, as in "6x256 · 4h/2kv · ffn 704 · vocab 4096 tied · 4.3M · Q8_0"."""
    layers = architecture.layers
    tied = "tied" if architecture.tie_word_embeddings else "untied"
    params = format_count(architecture.num_params)
    if architecture.num_active_params < architecture.num_params:
        params += f" ({format_count(architecture.num_active_params)} active)"
    return " · ".join(
        [
            f"{architecture.num_hidden_layers}x{architecture.hidden_size}",
            " ".join([_one(_heads, layers, "mixed heads"), *_patterns(layers)]),
            _feed_forwards(layers),
            f"vocab {architecture.vocab_size} {tied}",
            params,
            architecture.quantization,
        ]
    )


def _one(word: Callable[["Layer"], str], layers: Sequence["Layer"], otherwise: str) -> str:
    words = {word(layer) for layer in layers}
    return words.pop() if len(words) == 1 else otherwise


def _heads(layer: "Layer") -> str:
    heads = getattr(layer.mixer, "num_attention_heads", None)
    if heads is None:
        return str(layer.mixer.type)
    return f"{heads}h/{getattr(layer.mixer, 'num_key_value_heads', heads)}kv"


def _patterns(layers: Sequence["Layer"]) -> list[str]:
    """What layers have beyond heads, with the share of layers that have it."""
    counts: dict[str, int] = {}
    for layer in layers:
        for mark in _marks(layer.mixer):
            counts[mark] = counts.get(mark, 0) + 1
    return [
        mark if count == len(layers) else f"{mark} in {count} of {len(layers)}"
        for mark, count in counts.items()
    ]


def _marks(mixer: Any) -> list[str]:
    marks = []
    if mixer.type == "block_sparse_attention":
        marks.append("block-sparse")
    if getattr(mixer, "sliding_window", None):
        marks.append(f"window {mixer.sliding_window}")
    rope = getattr(mixer, "rope", ...)
    if rope is None:
        marks.append("NoPE")
    elif getattr(rope, "long_rope", None) is not None:
        marks.append("LongRoPE")
    return marks


def _feed_forwards(layers: Sequence["Layer"]) -> str:
    blocks = [layer.feed_forward for layer in layers]
    if any(isinstance(block, MixtureOfExperts) for block in blocks):
        return _one(lambda layer: _experts(layer.feed_forward), layers, "mixed experts")
    widths = [getattr(block, "intermediate_size", 0) for block in blocks]
    return f"ffn {widths[0] if len(set(widths)) == 1 else f'{min(widths)}-{max(widths)}'}"


def _experts(block: Any) -> str:
    if not isinstance(block, MixtureOfExperts):
        return f"ffn {getattr(block, 'intermediate_size', 0)}"
    used = f"{block.num_experts_per_tok} of {block.num_experts} experts"
    text = f"{used} x {block.moe_intermediate_size}"
    shared = block.shared_expert_intermediate_size
    return f"{text} + {shared} shared" if shared else text

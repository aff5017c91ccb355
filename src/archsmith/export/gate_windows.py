"""The windows of tokens on which the gate compares runtimes.

A group of windows shares one context of llama.cpp. LongRoPE needs two: llama.cpp picks factors by
the context, transformers by the text, and both are right only for texts up to the switch in a
context up to it, and for texts beyond it in any context that holds them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.export.carrier_attention import CONTEXT_STEP, switch_of
from archsmith.export.carriers import Carrier

_TOKENS = 96
_LONGEST = 1024
_PAST = 32  # tokens past an attention window or a switch


class Window(NamedTuple):
    """Token ids, and how many at the end have their logits compared."""

    tokens: tuple[int, ...]
    num_judged: int


def window_groups(
    architecture: Architecture, carrier: Carrier, tokens: Sequence[int] | None, *, seed: int
) -> list[list[Window]]:
    """Windows of random tokens and of real ones, longer than any attention window.

    Args:
        tokens: real ones, if there are any.
        seed: of the random ones.
    """
    rng = np.random.default_rng(seed)
    length = _length(architecture, carrier)
    windows = [_random(rng, architecture, length, length)]
    if tokens is not None and len(tokens):
        real = tuple(int(token) for token in np.asarray(tokens)[:length])
        windows.append(Window(real, len(real)))
    beyond = _beyond(architecture, carrier)
    if beyond is None:
        return [windows]
    return [windows, [_random(rng, architecture, beyond, min(beyond, _TOKENS))]]


def _random(
    rng: np.random.Generator, architecture: Architecture, length: int, num_judged: int
) -> Window:
    ids = rng.integers(0, architecture.vocab_size, length).tolist()
    return Window(tuple(ids), num_judged)


def _length(architecture: Architecture, carrier: Carrier) -> int:
    spans = [getattr(layer.mixer, "sliding_window", None) or 0 for layer in architecture.layers]
    wanted = min(max(_TOKENS, max(spans) + _PAST), _LONGEST)
    wanted = min(wanted, architecture.max_position_embeddings)
    original = switch_of(architecture)
    if original is None:
        return wanted
    # llama.cpp rounds its context up, and must not reach the switch by that
    whole = original // CONTEXT_STEP * CONTEXT_STEP
    return min(wanted, original if carrier.gguf is None else whole or original)


def _beyond(architecture: Architecture, carrier: Carrier) -> int | None:
    """The length of a text past LongRoPE's switch, where every runtime can compute one."""
    original = switch_of(architecture)
    longest = architecture.max_position_embeddings
    form = carrier.huggingface
    if form is not None and form.longest_text is not None:
        longest = min(longest, form.longest_text(architecture))
    if original is None or longest <= original:
        return None
    return min(original + _PAST, longest)

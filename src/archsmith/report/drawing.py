"""A small drawing of an architecture: its stack of layers with true widths, as an SVG string.

Read from the bottom: tokens enter the embedding table, pass the layers, leave through the head.
Every bar is as wide as the features it holds, on one scale for all drawings that share `widest`;
an attention bar has one cell per query head (one tone per group that shares keys and values), a
feed-forward bar with experts one cell per expert. Colours are CSS variables of the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

BAR_PX = 9
LAYER_GAP_PX = 5
MAX_BAR_PX = 210
LABEL_PX = 175
LINE_PX = 13
_TIMES = "\u00d7"
SHOWN_LAYERS = 16  # a longer run of equal layers is drawn by its ends

Json = Mapping[str, Any]


@dataclass(frozen=True)
class _Run:
    """Equal neighbouring layers."""

    layer: Json
    first: int
    count: int


def widest(architectures: Sequence[Json]) -> int:
    """The widest bar of all, in features: the common scale of drawings side by side."""
    return max((_widest(architecture) for architecture in architectures), default=1)


def draw(architecture: Json, *, widest_features: int | None = None) -> str:
    """The drawing of the JSON of a tree; block types unknown here become plain bars."""
    scale = MAX_BAR_PX / (widest_features or _widest(architecture))
    hidden = int(architecture["hidden_size"])
    middle = MAX_BAR_PX / 2
    parts: list[str] = []
    y = 4.0

    def label(text: str, at: float, *, strong: bool = False) -> None:
        weight = ' font-weight="600"' if strong else ""
        parts.append(
            f'<text x="{MAX_BAR_PX + 12}" y="{at:.1f}" font-size="11"{weight} '
            f'fill="currentColor">{escape(text)}</text>'
        )

    tied = bool(architecture.get("tie_word_embeddings"))
    parts.append(_bar(middle, y, hidden * scale, "embedding", outline=tied))
    label("head: tied to the embedding" if tied else "head: a table of its own", y + 9)
    y += BAR_PX + 12
    for run in reversed(_runs(architecture["layers"])):
        top = y
        lines = _describe(run, hidden)
        shown = run.count if run.count <= SHOWN_LAYERS else SHOWN_LAYERS
        for index in range(shown):
            if shown < run.count and index == shown // 2:
                parts.append(_dots(middle, y + 1, run.count - shown))
                y += 18
            y = _layer(parts, run.layer, middle, y, scale)
        bottom = max(y - LAYER_GAP_PX, top + LINE_PX * len(lines) - 4)
        parts.append(
            f'<path d="M{MAX_BAR_PX + 4} {top:.1f}h3v{bottom - top:.1f}h-3" fill="none" '
            'stroke="currentColor" opacity="0.5"/>'
        )
        start = max(top + 9, (top + bottom) / 2 - LINE_PX * len(lines) / 2 + 10)
        for index, line in enumerate(lines):
            label(line, start + LINE_PX * index, strong=index == 0)
        y = bottom + 12
    parts.append(_bar(middle, y, hidden * scale, "embedding"))
    label(f"embedding: {architecture['vocab_size']:,} {_TIMES} {hidden}", y + 9)
    y += BAR_PX + 4
    spine = (
        f'<line x1="{middle}" y1="4" x2="{middle}" y2="{y - 4:.1f}" stroke="currentColor" '
        'stroke-width="1.5" opacity="0.45"/>'
    )
    width, height = MAX_BAR_PX + LABEL_PX, y + 2
    return (
        f'<svg class="drawing" role="img" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" aria-label="{escape(describe(architecture), quote=True)}">'
        f"{spine}{''.join(parts)}</svg>"
    )


def describe(architecture: Json) -> str:
    """The drawing in words, for those who cannot see it."""
    hidden = architecture["hidden_size"]
    runs = ", then ".join(
        " ".join(_describe(run, int(hidden))) for run in _runs(architecture["layers"])
    )
    tied = "tied" if architecture.get("tie_word_embeddings") else "untied"
    return (
        f"Stack of {len(architecture['layers'])} layers, {hidden} wide, vocabulary "
        f"{architecture['vocab_size']} ({tied} head): {runs}"
    )


def _layer(parts: list[str], layer: Json, middle: float, y: float, scale: float) -> float:
    """Draw one layer from `y` downwards; the vertical position after it."""
    mixer, feed_forward = layer["mixer"], layer["feed_forward"]
    mixer_px = _mixer_features(mixer) * scale
    block_px = _feed_forward_features(feed_forward) * scale
    if layer.get("residual") == "parallel":  # both read one input: side by side, on one line
        total = mixer_px + block_px + 3
        fit = min(1.0, MAX_BAR_PX / total)
        left = middle - total * fit / 2
        parts.append(_cells(left, y, mixer_px * fit, mixer))
        parts.append(_experts(left + (mixer_px + 3) * fit, y, block_px * fit, feed_forward))
        return y + BAR_PX + LAYER_GAP_PX
    parts.append(_experts(middle - block_px / 2, y, block_px, feed_forward))
    parts.append(_cells(middle - mixer_px / 2, y + BAR_PX + 1, mixer_px, mixer))
    return y + 2 * BAR_PX + 1 + LAYER_GAP_PX


def _bar(middle: float, y: float, width: float, kind: str, *, outline: bool = False) -> str:
    return _rect(middle - width / 2, y, width, kind, idle=outline)


def _rect(
    x: float, y: float, width: float, kind: str, *, idle: bool = False, dim: bool = False
) -> str:
    paint = f'fill="var(--page)" stroke="var(--{kind})"' if idle else f'fill="var(--{kind})"'
    tone = ' fill-opacity="0.62"' if dim else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR_PX}" rx="1.5" '
        f"{paint}{tone}/>"
    )


def _cells(x: float, y: float, width: float, mixer: Json) -> str:
    """One cell per query head; heads that share keys and values share a tone."""
    heads = int(mixer.get("num_attention_heads", 1))
    groups = int(mixer.get("num_key_value_heads", heads))
    step = width / heads
    gap = 1.0 if step > 4 else 0.0
    backing = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR_PX}" fill="var(--page)"/>'
    )
    return backing + "".join(
        _rect(x + index * step, y, step - gap, "attention", dim=bool(index * groups // heads % 2))
        for index in range(heads)
    )


def _experts(x: float, y: float, width: float, feed_forward: Json) -> str:
    """One bar, or a cell per expert of which those used for one token are filled."""
    experts = int(feed_forward.get("num_local_experts", 1))
    active = int(feed_forward.get("num_experts_per_tok", experts))
    step = width / experts
    gap = 1.5 if experts > 1 and step > 4 else 0.0
    return "".join(
        _rect(x + index * step, y, step - gap, "feed-forward", idle=index >= active)
        for index in range(experts)
    )


def _dots(middle: float, y: float, left_out: int) -> str:
    return (
        f'<text x="{middle}" y="{y + 10:.1f}" font-size="10" text-anchor="middle" '
        f'fill="currentColor" stroke="var(--page)" stroke-width="4" paint-order="stroke">'
        f"… {left_out} more …</text>"
    )


def _runs(layers: Sequence[Json]) -> list[_Run]:
    runs: list[_Run] = []
    first = 1
    for layer, equal in groupby(layers):
        count = len(list(equal))
        runs.append(_Run(layer, first, count))
        first += count
    return runs


def _describe(run: _Run, hidden: int) -> list[str]:
    """Lines of words about a run of layers."""
    mixer, feed_forward = run.layer["mixer"], run.layer["feed_forward"]
    last = run.first + run.count - 1
    span = f"layer {run.first}" if run.count == 1 else f"layers {run.first} to {last}"
    lines = [f"{span}, {hidden} wide"]
    heads = mixer.get("num_attention_heads")
    if heads is None:
        lines.append(str(mixer.get("type", "mixer")))
    else:
        shared = mixer.get("num_key_value_heads", heads)
        lines.append(f"{heads} heads {_TIMES} {mixer['head_dim']}, {shared} kv")
    extras = [
        text
        for text, present in (
            (f"window {mixer.get('sliding_window')}", mixer.get("sliding_window")),
            ("no position", heads is not None and mixer.get("rope") is None),
            ("normed heads", mixer.get("qk_norm")),
            ("parallel", run.layer.get("residual") == "parallel"),
        )
        if present
    ]
    if extras:
        lines.append(", ".join(extras))
    kind = str(feed_forward.get("type", "feed-forward")).replace("_", " ")
    size = feed_forward.get("intermediate_size")
    lines.append(f"{kind} {size}" if size else kind)
    if feed_forward.get("num_local_experts"):
        used = feed_forward.get("num_experts_per_tok", 1)
        lines.append(f"{feed_forward['num_local_experts']} experts, {used} used")
    return lines


def _mixer_features(mixer: Json) -> int:
    return int(mixer.get("num_attention_heads", 1)) * int(mixer.get("head_dim", 64))


def _feed_forward_features(feed_forward: Json) -> int:
    size = int(feed_forward.get("intermediate_size", 64))
    return size * int(feed_forward.get("num_local_experts", 1))


def _widest(architecture: Json) -> int:
    widths = [int(architecture["hidden_size"])]
    for layer in architecture["layers"]:
        widths.append(_mixer_features(layer["mixer"]))
        widths.append(_feed_forward_features(layer["feed_forward"]))
    return max(widths)

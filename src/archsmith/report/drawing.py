"""A small drawing of an architecture: its stack of layers with true widths, as an SVG string.

Read from the bottom: tokens enter the embedding table, pass the layers, leave through the head.
Every bar is as wide as the features it holds, on one scale for all drawings that share `widest`;
an attention bar has one cell per query head (one tone per group that shares keys and values), a
feed-forward bar with experts one cell per expert: those that one token goes through in their true
width, the idle ones in outline and squeezed into what is left of the line. Colours are CSS
variables of the page.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from archsmith.report.layer_words import Json, describe, expert_width, lines_of, runs, turn

BAR_PX = 9
LAYER_GAP_PX = 5
MAX_BAR_PX = 210
LABEL_PX = 175
LINE_PX = 13
_TIMES = "\u00d7"
_NARROWEST_PX = 3
_IDLE_ROOM = 1.25  # the line is longer than its used experts by this, for the idle ones
SHOWN_LAYERS = 16  # a longer run of equal layers is drawn by its ends


class _Cell(NamedTuple):
    """A part of a feed-forward bar."""

    width_px: float
    idle: bool = False


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
    shown = turn(architecture["layers"])
    left_out = len(architecture["layers"]) - len(shown)
    if left_out:
        parts.append(_dots(middle, y, left_out))
        label(f"layers {len(shown) + 1} to {len(shown) + left_out}: the same in turn", y + 10)
        y += 22
    for run in reversed(runs(shown)):
        top = y
        lines = lines_of(run, hidden)
        drawn = min(run.count, SHOWN_LAYERS)
        for index in range(drawn):
            if drawn < run.count and index == drawn // 2:
                parts.append(_dots(middle, y + 1, run.count - drawn))
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


def _layer(parts: list[str], layer: Json, middle: float, y: float, scale: float) -> float:
    """Draw one layer from `y` downwards; the vertical position after it."""
    mixer, feed_forward = layer["mixer"], layer["feed_forward"]
    mixer_px = _mixer_features(mixer) * scale
    cells = _block_cells(feed_forward, scale)
    block_px = sum(cell.width_px for cell in cells)
    if layer.get("residual") == "parallel":  # both read one input: side by side, on one line
        total = mixer_px + block_px + 3
        fit = min(1.0, MAX_BAR_PX / total)
        left = middle - total * fit / 2
        parts.append(_cells(left, y, mixer_px * fit, mixer))
        parts.append(_block(left + (mixer_px + 3) * fit, y, cells, fit))
        return y + BAR_PX + LAYER_GAP_PX
    parts.append(_block(middle - block_px / 2, y, cells))
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


def _block(x: float, y: float, cells: Sequence[_Cell], fit: float = 1.0) -> str:
    """One bar, or a cell per expert of which those used for one token are filled."""
    drawn = []
    for cell in cells:
        width = cell.width_px * fit
        gap = 1.5 if len(cells) > 1 and width > 4 else 0.0
        drawn.append(_rect(x, y, width - gap, "feed-forward", idle=cell.idle))
        x += width
    return "".join(drawn)


def _block_cells(feed_forward: Json, scale: float) -> list[_Cell]:
    """The used blocks in their true width, the idle ones in what is left of the line."""
    experts = int(feed_forward.get("num_experts", 0))
    if not experts:
        return [_Cell(_feed_forward_features(feed_forward) * scale)]
    used, each = int(feed_forward["num_experts_per_tok"]), expert_width(feed_forward)
    widths = [each] * used
    if feed_forward.get("shared_expert_intermediate_size"):
        widths.insert(0, int(feed_forward["shared_expert_intermediate_size"]))
    cells = [_Cell(width * scale) for width in widths]
    room = MAX_BAR_PX - sum(cell.width_px for cell in cells)
    idle = experts - used
    if idle:
        width_px = min(each * scale, room / idle)
        # cells too narrow to be told apart become one
        narrow = width_px < _NARROWEST_PX
        cells += (
            [_Cell(width_px * idle, idle=True)] if narrow else ([_Cell(width_px, idle=True)] * idle)
        )
    return cells


def _dots(middle: float, y: float, left_out: int) -> str:
    return (
        f'<text x="{middle}" y="{y + 10:.1f}" font-size="10" text-anchor="middle" '
        f'fill="currentColor" stroke="var(--page)" stroke-width="4" paint-order="stroke">'
        f"… {left_out} more …</text>"
    )


def _mixer_features(mixer: Json) -> int:
    return int(mixer.get("num_attention_heads", 1)) * int(mixer.get("head_dim", 64))


def _feed_forward_features(feed_forward: Json) -> int:
    """Features of a plain block; of experts those that one token goes through."""
    if feed_forward.get("num_experts"):
        shared = int(feed_forward.get("shared_expert_intermediate_size") or 0)
        return int(feed_forward["num_experts_per_tok"]) * expert_width(feed_forward) + shared
    return int(feed_forward.get("intermediate_size", 64))


def _widest(architecture: Json) -> int:
    widths = [int(architecture["hidden_size"])]
    for layer in architecture["layers"]:
        widths.append(_mixer_features(layer["mixer"]))
        block = layer["feed_forward"]
        room = _IDLE_ROOM if block.get("num_experts") else 1.0
        widths.append(round(_feed_forward_features(block) * room))
    return max(widths)

"""Terminal tables of what is known before training."""

from typing import TYPE_CHECKING

from archsmith.architecture.tree import Architecture
from archsmith.units import format_bytes, format_seconds
from archsmith.workflow.suggestion import Suggestion

if TYPE_CHECKING:
    from rich.console import RenderableType


def suggestion_view(suggestion: Suggestion) -> "RenderableType":
    """The suggested architecture beside hand-drawn shapes, one row each."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=None, show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("architecture")
    for title in ("file", "bits per byte", "training"):
        table.add_column(title, justify="right")
    for row in suggestion.rows:
        file_bytes = row.metrics.get("file_bytes")
        table.add_row(
            row.name,
            row.architecture.summary(),
            "" if file_bytes is None else f"{int(file_bytes):,} B",
            f"{row.bits_per_byte:.2f} [{row.bits_per_byte_low:.2f}, {row.bits_per_byte_high:.2f}]",
            f"{format_seconds(row.train_seconds)} "
            f"[{format_seconds(row.train_seconds_low)}, {format_seconds(row.train_seconds_high)}]",
        )
    first = suggestion.rows[0]
    layer = first.architecture.layers[0]
    facts = [
        f"{first.architecture.num_hidden_layers} layers, hidden_size "
        f"{first.architecture.hidden_size}, context {first.architecture.max_position_embeddings} "
        f"tokens, {layer.mixer.type} + {layer.feed_forward.type}",
        f"trained on {format_bytes(first.train_bytes)} of text; file bytes are exact for this "
        "vocabulary, bits per byte (90 % interval) and time are predicted, nothing was trained",
        f"space 10^{suggestion.log10_space_size:.1f} architectures; an n-gram model on a sample of "
        f"the corpus reaches {suggestion.corpus_bits_per_byte:.2f} bits per byte",
    ]
    if any(_has_experts(row.architecture) for row in suggestion.rows):
        facts.insert(
            2,
            "experts: the prior knows dense networks only; its interval reaches from one with all "
            "the parameters to one with the active ones, and the mean between is an assumption",
        )
    return Group(table, Text(), *(Text(fact) for fact in facts))


def _has_experts(architecture: Architecture) -> bool:
    return architecture.num_active_params < architecture.num_params

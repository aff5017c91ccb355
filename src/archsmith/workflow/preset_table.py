"""What is known of every preset: shape, counts, memory, and which files hold it; imports no torch.

Counts follow from the architecture alone and match the published weights to the last parameter.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.errors import ConfigError, ExportError, did_you_mean
from archsmith.export.carriers import find_carrier, unsupported
from archsmith.export.layout import gguf_num_bytes
from archsmith.presets import PRESETS
from archsmith.units import format_count

HEADINGS = (
    "model", "layers x width", "heads/kv x size", "feed-forward", "vocabulary", "context",
    "parameters", "active", "cache/token", "cache", "4.0 bit", "Q4_0 file",
)  # fmt: skip
_TIMES = "x"


class PresetRow(Spec):
    """One published model.

    Attributes:
        feed_forward: its width; of experts how many are used of how many, times the width of one.
        cache_bytes_per_token, cache_bytes: of the key-value cache in f16, at the full context.
        weights_4_bit_bytes: every parameter at exactly 4 bits, as model cards count it.
        q4_0_file_bytes: of the GGUF file in Q4_0, without its vocabulary; None where no file holds
            the model.
        huggingface, gguf: the transformers class and llama.cpp's architecture; None without one.
        reasons: by target, why nothing holds the model.
        limits: what holds for some uses of the files only.
    """

    name: str
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    feed_forward: str
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    num_params: int
    num_active_params: int
    cache_bytes_per_token: int
    cache_bytes: int
    weights_4_bit_bytes: int
    q4_0_file_bytes: int | None
    huggingface: str | None
    gguf: str | None
    reasons: dict[str, tuple[str, ...]]
    limits: tuple[str, ...]


def preset_rows(names: Iterable[str] = ()) -> list[PresetRow]:
    """Rows of these presets, or of all. Raises ConfigError for an unknown name."""
    wanted = list(names) or list(PRESETS)
    for name in wanted:
        if name not in PRESETS:
            raise ConfigError(f"unknown preset '{name}'; {did_you_mean(name, PRESETS)}")
    return [_row(name, PRESETS[name]()) for name in wanted]


def cells(row: PresetRow) -> tuple[str, ...]:
    """The row as text, under `HEADINGS`."""
    tied = " tied" if row.tie_word_embeddings else ""
    file_bytes = row.q4_0_file_bytes
    return (
        row.name,
        f"{row.num_hidden_layers}{_TIMES}{row.hidden_size}",
        f"{row.num_attention_heads}/{row.num_key_value_heads} {_TIMES} {row.head_dim}",
        row.feed_forward,
        f"{row.vocab_size}{tied}",
        str(row.max_position_embeddings),
        f"{row.num_params:,}",
        "all" if row.num_active_params == row.num_params else format_count(row.num_active_params),
        f"{row.cache_bytes_per_token / 2**10:g} KiB",
        gib(row.cache_bytes),
        gib(row.weights_4_bit_bytes),
        "none" if file_bytes is None else gib(file_bytes),
    )


def gib(num_bytes: float) -> str:
    """Bytes as GiB with two decimals."""
    return f"{num_bytes / 2**30:.2f} GiB"


def holders(row: PresetRow) -> list[str]:
    """What holds the model, then why one target does not, or what to mind."""
    found = [
        f"{name} ({label})"
        for label, name in (("transformers", row.huggingface), ("llama.cpp", row.gguf))
        if name
    ]
    missing = [
        f"not in {label}: {'; '.join(row.reasons[target])}"
        for label, target in (("transformers", "huggingface"), ("llama.cpp", "gguf"))
        if target in row.reasons
    ]
    return [", ".join(found) or "for training alone", *missing, *row.limits]


def _row(name: str, architecture: Architecture) -> PresetRow:
    mixer: Any = architecture.layers[0].mixer
    carriers = {target: find_carrier(architecture, (target,)) for target in ("huggingface", "gguf")}
    forms = {
        "huggingface": (found := carriers["huggingface"])
        and found.huggingface
        and found.huggingface.transformers_class,
        "gguf": (file := carriers["gguf"]) and file.gguf and file.gguf.architecture,
    }
    limits = [
        limit
        for carrier in carriers.values()
        if carrier is not None
        for limit in carrier.limits(architecture)
    ]
    return PresetRow(
        name=name,
        num_hidden_layers=architecture.num_hidden_layers,
        hidden_size=architecture.hidden_size,
        num_attention_heads=mixer.num_attention_heads,
        num_key_value_heads=mixer.num_key_value_heads,
        head_dim=mixer.head_dim,
        feed_forward=_feed_forward(architecture),
        vocab_size=architecture.vocab_size,
        tie_word_embeddings=architecture.tie_word_embeddings,
        max_position_embeddings=architecture.max_position_embeddings,
        num_params=architecture.num_params,
        num_active_params=architecture.num_active_params,
        cache_bytes_per_token=architecture.cache_bytes(1),
        cache_bytes=architecture.cache_bytes(),
        weights_4_bit_bytes=architecture.num_params // 2,
        q4_0_file_bytes=_file_bytes(architecture),
        huggingface=forms["huggingface"] or None,
        gguf=forms["gguf"] or None,
        reasons={
            target: tuple(unsupported(architecture, (target,)))
            for target, carrier in carriers.items()
            if carrier is None
        },
        limits=tuple(dict.fromkeys(limits)),
    )


def _file_bytes(architecture: Architecture) -> int | None:
    try:
        return gguf_num_bytes(architecture.model_copy(update={"quantization": "Q4_0"}), 0)
    except ExportError:
        return None


def _feed_forward(architecture: Architecture) -> str:
    block: Any = architecture.layers[0].feed_forward
    if isinstance(block, MixtureOfExperts):
        used = f"{block.num_experts_per_tok}/{block.num_experts}"
        return f"{used} {_TIMES} {block.moe_intermediate_size}"
    return str(block.intermediate_size)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns; numbers stand to the right, names to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

"""Numbers for people: every figure of the report goes through here, so units never go missing."""

import math

from archsmith.units import format_bytes, format_count, format_seconds

NONE = "\u2013"
# metric -> short column title with its unit, and what it means in a tooltip or caption
TITLES = {
    "bits_per_byte": "bits/byte",
    "file_bytes": "file",
    "decode_ms_per_token": "ms/token",
    "peak_memory_bytes": "memory",
    "num_params": "params",
    "num_active_params": "active params",
    "num_non_embedding_params": "params outside embeddings",
    "flops_per_token": "FLOPs/token",
    "cache_bytes": "cache",
    "context_length": "context (tokens)",
    "train_seconds": "training time",
    "train_bytes": "training text",
    "epochs": "epochs",
}


def title(metric: str) -> str:
    """A metric's short name with its unit."""
    return TITLES.get(metric, metric.replace("_", " "))


def show(metric: str, value: float | None) -> str:
    """A metric's value with its unit; an en dash where it is unknown."""
    if value is None:
        return NONE
    if metric.endswith("_bytes"):
        return format_bytes(value)
    if metric.endswith("bits_per_byte"):
        return f"{value:.4f}"
    if metric.endswith("_ms_per_token"):
        return f"{value:.3g} ms"
    if metric.endswith("_seconds"):
        return format_seconds(value)
    if metric.startswith("task:") or metric.endswith("_share"):
        return f"{100 * value:.1f} %"
    if metric == "epochs":
        return f"{value:.2f}"
    return format_count(value)


def show_rate(tokens_per_second: float | None) -> str:
    """Tokens per second of training."""
    return NONE if tokens_per_second is None else f"{tokens_per_second:,.0f}"


def show_imbalance(value: float | None) -> str:
    """The busiest expert's load over the mean."""
    return NONE if value is None else f"{value:.2f}"


def show_limit(metric: str, comparison: str, value: float) -> str:
    """A limit as people write it."""
    return f"{metric} {comparison} {show(metric, value)}"


def show_flops(flops: float) -> str:
    """Floating-point operations in scientific notation."""
    if flops <= 0:
        return NONE
    mantissa, exponent = f"{flops:.1e}".split("e")
    return f"{mantissa}e{int(exponent)} FLOPs"


def show_ratio(value: float) -> str:
    """A multiple; an en dash where it is unknown."""
    return NONE if math.isnan(value) else f"{value:.2f}"


def show_difference(value: float) -> str:
    """A signed difference in bits per byte."""
    return f"{value:+.4f}".replace("-", "\u2212")


def show_span(low: float, high: float, *, signed: bool = False) -> str:
    """An interval in bits per byte."""
    if signed:
        return f"[{show_difference(low)}, {show_difference(high)}]"
    return f"[{low:.4f}, {high:.4f}]"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

"""Numbers with units as people write them ("512MiB", "8h", "20M") and back."""

import re

from archsmith.errors import ConfigError

_BYTES = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_COUNT = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_SECONDS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3,
    "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_NUMBER = re.compile(r"\s*([+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*")


def _parse(text: str | float, table: dict[str, float], what: str, example: str) -> float:
    if isinstance(text, bool):
        raise ConfigError(f"{what}: expected a number such as {example}, got {text}")
    if isinstance(text, int | float):
        return float(text)
    found = _NUMBER.fullmatch(text)
    if found is None or found[2].lower() not in table:
        units = ", ".join(unit for unit in table if unit)
        raise ConfigError(
            f"{what}: cannot read {text!r}; write a number and a unit such as {example} "
            f"(units: {units})"
        )
    return float(found[1].replace("_", "")) * table[found[2].lower()]


def parse_bytes(text: str | float) -> int:
    """Bytes: "16MiB" is 16·2^20, "16MB" is 16·10^6. Raises ConfigError."""
    return round(_parse(text, dict(_BYTES), "bytes", '"512MiB"'))


def parse_count(text: str | float) -> int:
    """Counts such as parameters or tokens: "20M" is 20,000,000. Raises ConfigError."""
    return round(_parse(text, dict(_COUNT), "count", '"20M"'))


def parse_seconds(text: str | float) -> float:
    """Durations: "8h", "10min", "90s", or several in a row as in "1h30min". Raises ConfigError."""
    if isinstance(text, str):
        parts = re.findall(r"[0-9._]+\s*[A-Za-z]+", text)
        if len(parts) > 1 and "".join(parts).replace(" ", "") == text.replace(" ", ""):
            return sum(parse_seconds(part) for part in parts)
    return _parse(text, dict(_SECONDS), "duration", '"8h"')


def format_bytes(num_bytes: float) -> str:
    """A short binary figure: 16777216 is "16.0 MiB"."""
    value = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def format_count(count: float) -> str:
    """A short decimal figure: 1_234_567 is "1.23M"."""
    value = float(count)
    for unit in ("", "K", "M", "B"):
        if abs(value) < 1000:
            return f"{value:.0f}" if not unit else f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}T"


def format_seconds(seconds: float) -> str:
    """A short duration: 5025 is "1h23m", 75 is "1m15s", 3.21 is "3.2s"."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"

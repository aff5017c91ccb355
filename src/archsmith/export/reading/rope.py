"""Rotary settings of a stock config: `rope_parameters` of transformers 5, `rope_scaling` before it.

Besides LongRoPE there are scalings that divide each pair's frequency by a constant, whatever the
length of the text (`linear`, and `llama3` of Llama 3.1 and 3.2). They are LongRoPE with equal short
and long factors, so the same block computes them.
"""

import math
from collections.abc import Mapping
from typing import Any

from archsmith.architecture.rope import Rope
from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.export.reading.config import StockConfig, is_number

_KINDS = "default, longrope, linear and llama3"


def read_rope(
    config: StockConfig,
    head_dim: int,
    *,
    theta: float = 10_000.0,
    partial: float | None = None,
    original: int | None = None,
    mscale: bool = False,
    yarn_is_longrope: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> Rope:
    """The rotary embedding of a config. Raises ConfigError.

    Args:
        theta, partial: what the stock class takes where the config is silent; `partial=None` is a
            class that always rotates whole heads.
        original: the class's own default of `original_max_position_embeddings`.
        mscale: whether the class scales LongRoPE by short_mscale and long_mscale (Phi-3.5-MoE).
        yarn_is_longrope: whether the class reads the kind `yarn` as LongRoPE (Phi-3).
        parameters: one layer type's own settings, instead of the config's.
    """
    if parameters is None:
        parameters = config.get("rope_scaling") or config.get("rope_parameters", {})
    if not isinstance(parameters, Mapping):
        raise config.wrong("rope_parameters", "must be an object of settings")
    settings = {
        "rope_theta": config.get("rope_theta", theta),
        "partial_rotary_factor": config.get("partial_rotary_factor", partial or 1.0),
        **{key: value for key, value in parameters.items() if value is not None},
    }
    factor = _number(config, settings, "partial_rotary_factor")
    if partial is None and factor != 1.0:
        raise config.wrong("partial_rotary_factor", "this model type rotates whole heads, 1.0")
    if partial is not None and int(head_dim * factor) % 2:
        raise config.wrong(
            "partial_rotary_factor",
            f"rotates {int(head_dim * factor)} of {head_dim} features; an even number is needed",
        )
    rope: dict[str, Any] = {
        "theta": _number(config, settings, "rope_theta"),
        "partial_rotary_factor": factor,
    }
    kind = settings.get("rope_type") or settings.get("type") or "default"
    rotary_dim = int(head_dim * factor)
    if kind in ("longrope", "su") or (kind == "yarn" and yarn_is_longrope):
        rope["long_rope"] = _longrope(config, settings, original=original, mscale=mscale)
    elif kind in ("linear", "llama3"):
        scale = _llama3 if kind == "llama3" else _linear
        divisors = scale(config, settings, rope["theta"], rotary_dim)
        rope["long_rope"] = {
            "original_max_position_embeddings": config.integer("max_position_embeddings"),
            "short_factor": divisors,
            "long_factor": divisors,
        }
    elif kind != "default":
        raise ConfigError(
            f"{config.source}: rope_parameters.rope_type: '{kind}' is not among what archsmith "
            f"computes: {_KINDS}"
        )
    return validate(Rope, rope, source=f"{config.source}: rope_parameters")


def _longrope(
    config: StockConfig, settings: Mapping[str, Any], *, original: int | None, mscale: bool
) -> dict[str, Any]:
    context = config.integer("max_position_embeddings")
    # the key at the top level goes before the one among the rotary settings, as in transformers
    first = config.get("original_max_position_embeddings", original)
    first = first or settings.get("original_max_position_embeddings", context)
    if not isinstance(first, int) or first < 1:
        raise config.wrong("original_max_position_embeddings", "must be a number of tokens")
    short: float | None
    long: float | None
    if mscale:
        short, long = (_number(config, settings, name) for name in ("short_mscale", "long_mscale"))
    else:
        short = long = _attention_factor(config, settings, first, context)
    return {
        "original_max_position_embeddings": first,
        "short_factor": _factors(config, settings, "short_factor"),
        "long_factor": _factors(config, settings, "long_factor"),
        "short_attention_factor": short,
        "long_attention_factor": long,
    }


def _attention_factor(
    config: StockConfig, settings: Mapping[str, Any], original: int, context: int
) -> float | None:
    """A factor that differs from the one that follows from the two context lengths, else None."""
    if "attention_factor" in settings:
        return _number(config, settings, "attention_factor")
    if "factor" not in settings:
        return None
    ratio = _number(config, settings, "factor")
    if math.isclose(ratio, context / original):
        return None
    return 1.0 if ratio <= 1.0 else math.sqrt(1.0 + math.log(ratio) / math.log(original))


def _linear(
    config: StockConfig, settings: Mapping[str, Any], theta: float, rotary_dim: int
) -> list[float]:
    return [_number(config, settings, "factor")] * (rotary_dim // 2)


def _llama3(
    config: StockConfig, settings: Mapping[str, Any], theta: float, rotary_dim: int
) -> list[float]:
    """Long waves are stretched, short ones kept, those between interpolated (Llama 3.1, 2024)."""
    factor, low, high, original = (
        _number(config, settings, name)
        for name in (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        )
    )
    if low >= high:
        raise ConfigError(
            f"{config.source}: rope_parameters.high_freq_factor: must be above low_freq_factor, "
            f"got {high:g} and {low:g}"
        )
    divisors = []
    for pair in range(rotary_dim // 2):
        turns = original * theta ** (-2 * pair / rotary_dim) / (2 * math.pi)
        kept = min(max((turns - low) / (high - low), 0.0), 1.0)
        divisors.append(1.0 / ((1.0 - kept) / factor + kept))
    return divisors


def _factors(config: StockConfig, settings: Mapping[str, Any], key: str) -> list[float]:
    value = settings.get(key)
    if not isinstance(value, list) or not all(is_number(one) for one in value):
        raise ConfigError(f"{config.source}: rope_parameters.{key}: must be a list of numbers")
    return [float(one) for one in value]


def _number(config: StockConfig, settings: Mapping[str, Any], key: str) -> float:
    value = settings.get(key)
    if not is_number(value) or value <= 0:
        raise ConfigError(
            f"{config.source}: rope_parameters.{key}: must be a number above 0 (given: {value!r})"
        )
    return float(value)

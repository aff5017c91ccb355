"""MiMo-V2-Flash-like networks (LLM-Core Xiaomi 2026, arXiv 2601.02780): windows and experts.

The sigmoid router is DeepSeek-V3's (2024, arXiv 2412.19437).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture
from archsmith.space.dimensions import Dimension
from archsmith.space.families import _periodic, base
from archsmith.space.families._experts import ExpertFamily


class Mimo(_periodic.PeriodicFamily, ExpertFamily):
    """Experts in every layer, chosen by sigmoid scores and a correction bias that evens their load;
    local layers see `window_share` of the context. Never tied."""

    name = "mimo"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        base.HIDDEN_SIZE,
        base.DEPTH,
        base.HEAD_DIM,
        # transformers doubles the key-value heads of windowed layers: an even number is needed
        Dimension("heads_per_kv_head", (2, 4, 8)),
        base.INTERMEDIATE_RATIO,
        base.VOCABULARY,
        base.ROPE_THETA,
        Dimension("partial_rotary_factor", (0.5, 1.0)),
        base.QUANTIZATION,
        Dimension("num_experts", (4, 8, 16, 32)),
        Dimension("num_experts_per_tok", (2, 4, 8)),
        Dimension(_periodic.PERIOD, (2, 4)),
        Dimension(_periodic.WINDOW, (0.125, 0.25)),
    )
    cosmetic: ClassVar[frozenset[str]] = base.Family.cosmetic | {_periodic.WINDOW}
    routing: ClassVar[Mapping[str, Any]] = {"router": "sigmoid"}

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values, sliding_window=_periodic.window_tokens(values))

    def full_mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values)

    def read(self, architecture: Architecture) -> dict[str, Any] | None:
        found, period = super().read(architecture), _periodic.read_period(architecture)
        if found is None or period is None:
            return None
        share = _periodic.read_window_share(architecture)
        return {**found, _periodic.PERIOD: period, _periodic.WINDOW: share}

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if values[_periodic.WINDOW] == 1.0:
            return "window_share 1 makes all layers of 'mimo' alike; it is smaller"
        return super().explain(values)


PART = Mimo()

"""Granite-SWA-like networks: Llama whose layers look back a short way, every n-th one all the way.

Sliding windows (Beltagy et al. 2020, arXiv 2004.05150) and layers without position embedding
(Kazemnejad et al. 2023, arXiv 2305.19466), as Granite and others alternate them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture
from archsmith.space.dimensions import Dimension
from archsmith.space.families import _periodic, base
from archsmith.space.families.llama import Llama


class GraniteSwa(_periodic.PeriodicFamily):
    """Local layers see `window_share` of the context; full layers see all of it, with rotary
    embedding or without."""

    name = "granite_swa"
    dimensions: ClassVar[tuple[Dimension, ...]] = (
        *Llama.dimensions,
        Dimension(_periodic.PERIOD, (2, 3, 4, 6)),
        Dimension(_periodic.WINDOW, (0.125, 0.25, 0.5, 1.0)),
        Dimension("full_attention_rope", (True, False)),
    )
    cosmetic: ClassVar[frozenset[str]] = base.Family.cosmetic | {
        _periodic.WINDOW,
        "full_attention_rope",
    }

    def mixer(self, values: Mapping[str, Any]) -> Attention:
        return base.attention(values, sliding_window=_periodic.window_tokens(values))

    def full_mixer(self, values: Mapping[str, Any]) -> Attention:
        rotated = base.attention(values)
        if values["full_attention_rope"]:
            return rotated
        return rotated.model_copy(update={"rope": None})

    def feed_forward(self, values: Mapping[str, Any]) -> GatedMlp:
        return GatedMlp(intermediate_size=base.feed_forward_width(values))

    def read(self, architecture: Architecture) -> dict[str, Any] | None:
        found, period = super().read(architecture), _periodic.read_period(architecture)
        if found is None or period is None:
            return None
        return {
            **found,
            _periodic.PERIOD: period,
            _periodic.WINDOW: _periodic.read_window_share(architecture),
            "full_attention_rope": architecture.layers[period - 1].mixer.rope is not None,
        }

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if values[_periodic.WINDOW] == 1.0 and values["full_attention_rope"]:
            return "window_share 1 with rotary embedding in every layer is a 'llama'"
        return super().explain(values)


PART = GraniteSwa()

"""Layers in a short period: every n-th is full, the others are local."""

from abc import abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from archsmith.architecture.mixers.base import Mixer
from archsmith.architecture.tree import Architecture, Layer
from archsmith.space.families import base

PERIOD = "full_attention_every"
WINDOW = "window_share"
_LARGEST_DENOMINATOR = 16  # of a window's share


class PeriodicFamily(base.Family):
    """Of `full_attention_every` layers the last is full: local, local, full, local, local, full."""

    @abstractmethod
    def full_mixer(self, values: Mapping[str, Any]) -> Mixer:
        """The mixer of the last layer of a period; `mixer` is a local one."""

    def layers(self, values: Mapping[str, Any]) -> tuple[Layer, ...]:
        local, period = self.layer(values), values[PERIOD]
        full = self.layer(values, self.full_mixer(values))
        return tuple(
            local if (index + 1) % period else full for index in range(values["num_hidden_layers"])
        )

    def least_depth(self, values: Mapping[str, Any]) -> int:
        return int(values[PERIOD])

    def explain(self, values: Mapping[str, Any]) -> str | None:
        if values[PERIOD] < 2:
            return f"{PERIOD} {values[PERIOD]} leaves no local layer; it is at least 2"
        return super().explain(values)


def read_period(architecture: Architecture) -> int | None:
    """One more than the first layer that differs from layer 0; None where all are alike."""
    layers = architecture.layers
    return next((index + 1 for index, layer in enumerate(layers) if layer != layers[0]), None)


def window_tokens(values: Mapping[str, Any]) -> int | None:
    """The window of local layers: a share of the context, so that it covers equal text whatever
    the vocabulary; None for all of it."""
    share: float = values[WINDOW]
    return None if share == 1.0 else max(1, round(values["vocabulary"].context_tokens * share))


def read_window_share(architecture: Architecture) -> float:
    """The share that the first layer's window has of the context."""
    context = architecture.max_position_embeddings
    window = architecture.layers[0].mixer.sliding_window or context
    return float(Fraction(window, context).limit_denominator(_LARGEST_DENOMINATOR))

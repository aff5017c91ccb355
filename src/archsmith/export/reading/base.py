"""What a family, one `model_type` of transformers, tells of itself."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from archsmith.architecture.tree import Architecture
from archsmith.export.reading.config import StockConfig


def _unscaled(config: StockConfig) -> Mapping[str, float]:
    return {}


class Family(NamedTuple):
    """How one stock class is read. The module's name is the `model_type`; it exports `PART`.

    Attributes:
        architecture: the tree of a config. Raises ConfigError for what archsmith cannot compute.
        names: (part of a stored name, what it is in ours), applied in this order.
        scales: canonical endings whose tensors are multiplied by a setting of the config, so that
            the setting itself is not needed.
    """

    architecture: Callable[[StockConfig], Architecture]
    names: tuple[tuple[str, str], ...] = ()
    scales: Callable[[StockConfig], Mapping[str, float]] = _unscaled

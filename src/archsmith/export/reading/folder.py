"""Read a folder that `save_pretrained` wrote: its architecture and its weights, no code run.

Each `model_type` is a family, one file in `families`; a third party adds one through an entry
point in the group `archsmith.stock_families`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archsmith import registry
from archsmith.architecture.tree import Architecture
from archsmith.errors import did_you_mean
from archsmith.export.reading.base import Family
from archsmith.export.reading.config import StockConfig
from archsmith.export.reading.safetensors_file import stored_tensors
from archsmith.export.reading.tensors import canonical_weights

KIND = "stock_families"


class StockModel(NamedTuple):
    """A stock checkpoint in our terms; weights are float32 by canonical name."""

    architecture: Architecture
    weights: dict[str, np.ndarray]


def is_huggingface_folder(folder: Path) -> bool:
    """Whether a transformers model lies there."""
    return (folder / "config.json").is_file()


def read_huggingface(folder: str | Path) -> StockModel:
    """The architecture and the weights of a transformers folder, in one file or sharded.

    Weights in bfloat16 or float16 become float32. Dropout and other settings of training are left
    out.

    Raises:
        ConfigError: no config.json or no safetensors there, or a setting that archsmith does not
            compute; the message names the key.
        CheckpointError: a file is damaged, or a tensor is missing, of another shape or surplus.
    """
    path = Path(folder)
    config = StockConfig.read(path)
    family = _family(config)
    architecture = family.architecture(config)
    weights = canonical_weights(
        architecture,
        stored_tensors(path),
        family,
        folder=path,
        scales=family.scales(config),
    )
    return StockModel(architecture, weights)


def architecture_of_config(
    config: Mapping[str, Any], *, source: str = "config.json"
) -> Architecture:
    """The architecture that the content of a `config.json` describes. Raises ConfigError."""
    stock = StockConfig(config, source)
    return _family(stock).architecture(stock)


def _family(config: StockConfig) -> Family:
    name = config.get("model_type")
    known = registry.names(KIND)
    if name not in known:
        raise config.wrong(
            "model_type", f"not among those archsmith reads; {did_you_mean(str(name), known)}"
        )
    config.only("quantization_config", [], "the weights are quantized; save the model dequantized")
    config.only("per_layer_config", [], "archsmith does not read settings of single layers")
    for architecture in config.items("architectures"):
        if not str(architecture).endswith("ForCausalLM"):
            raise config.wrong("architectures", "a model for causal language modelling is needed")
    found: Family = registry.find(KIND, name)
    return found

"""Weights as a quantized file will hold them, without writing the file.

Rungs of a search score these: the loss before quantization ranks the loss after it only roughly.
"""

from collections.abc import Mapping

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.export.layout import stored_tensor
from archsmith.export.llamacpp import dequantize, quantize
from archsmith.export.plans import gguf_plan
from archsmith.export.shapes import canonical_shapes


def quantize_dequantize(
    weights: Mapping[str, np.ndarray], architecture: Architecture, quantization: str | None = None
) -> dict[str, np.ndarray]:
    """Canonical weights after the losses of a file quantization, float32.

    Args:
        quantization: another than the architecture's own.
    Raises ExportError for a point without a carrier.
    """
    if quantization is not None:
        architecture = requantized(architecture, quantization)
    shapes = canonical_shapes(architecture)
    found: dict[str, np.ndarray] = {}
    for plan in gguf_plan(architecture):
        kind = stored_tensor(architecture, plan)
        if not plan.parts:
            continue
        data = plan.assemble(weights)
        if data.ndim > 1:
            data = dequantize(kind.ggml_type, quantize(kind.ggml_type, data))
        found |= plan.disassemble(data, shapes)
    return {name: np.ascontiguousarray(found[name], dtype=np.float32) for name in shapes}


def requantized(architecture: Architecture, quantization: str) -> Architecture:
    """The same network in another file quantization. Raises ValueError if unknown."""
    data = architecture.model_dump(mode="json")
    return Architecture.model_validate({**data, "quantization": quantization})

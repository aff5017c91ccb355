"""Bytes of the GGUF file in the architecture's quantization, exact before anything is written."""

from functools import lru_cache

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel
from archsmith.export.layout import gguf_num_bytes


@lru_cache(maxsize=256)  # asked for again by peak_memory_bytes
def estimate(architecture: Architecture, context: CostContext) -> float:
    """Bytes of the file; without a known tokenizer its vocabulary counts nothing.

    Raises ExportError for a point without a carrier.
    """
    known = context.tokenizer_bytes
    return float(gguf_num_bytes(architecture, known(architecture.vocab_size) if known else 0))


PART = CostModel(metric="file_bytes", exact=True, estimate=estimate)

"""Bytes of the key-value cache in f16 at the context counted. Exact for llama.cpp and
transformers, which keep the whole context even where a window masks most of it."""

from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel


def cache_bytes(architecture: Architecture, context: CostContext) -> float:
    """Bytes of the key-value cache."""
    return float(architecture.cache_bytes(context.context_length))


PART = CostModel("cache_bytes", exact=True, estimate=cache_bytes)

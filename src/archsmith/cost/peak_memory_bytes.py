"""Resident bytes of llama.cpp while it generates at the full context. An estimate.

    the file, mapped and read through
    + the key-value cache in f16, for the context rounded up to 256 cells
    + the layers' matrices in Q4_0 and Q4_K once more: the CPU backend keeps them in an order of its
      own (those that a mix or a width stores in other types are not copied)
    + the work area of one batch: 256 tokens x (6 widths + 2 feed-forward widths + context), f32;
      with experts the feed-forward width is that of all a token goes through, and each of them
      puts out a width of its own
    + 200 bytes for every entry of the vocabulary
    + 8 MB for the runtime itself, without the program around it

The terms are those of llama.cpp's buffers (github.com/ggml-org/llama.cpp, src/llama-context.cpp);
the constants were fitted to the growth of the resident set over eight files of 0.2 to 32 MB with
contexts of 512 to 4096 tokens, which the sum meets within 10 %; so it does eight files with experts
of 16 to 60 MB that came later.
"""

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.tree import Architecture
from archsmith.cost.base import CostContext, CostModel
from archsmith.cost.file_bytes import PART as FILE_BYTES
from archsmith.export.layout import layer_bytes_by_type

_BATCH_TOKENS = 256
_CACHE_CELLS = 256
_RUNTIME_BYTES = 8_000_000
_BYTES_PER_VOCABULARY_ENTRY = 200
_REPACKED = ("Q4_0", "Q4_K")
_WITH_REPACKED = ("Q4_0", "Q4_K_M")


def peak_memory_bytes(architecture: Architecture, context: CostContext) -> float:
    """Resident bytes. Raises ExportError where no GGUF file holds the architecture."""
    tokens = context.context_length or architecture.max_position_embeddings
    cells = -(-tokens // _CACHE_CELLS) * _CACHE_CELLS
    return float(
        FILE_BYTES.estimate(architecture, context)
        + architecture.cache_bytes(cells)
        + _repacked_bytes(architecture)
        + _work_bytes(architecture, cells)
        + _BYTES_PER_VOCABULARY_ENTRY * architecture.vocab_size
        + _RUNTIME_BYTES
    )


def _repacked_bytes(architecture: Architecture) -> int:
    if architecture.quantization not in _WITH_REPACKED:
        return 0
    stored = layer_bytes_by_type(architecture)
    return sum(stored[name] for name in _REPACKED)


def _work_bytes(architecture: Architecture, cells: int) -> int:
    hidden_size = architecture.hidden_size
    widest = max(_block_features(layer.feed_forward, hidden_size) for layer in architecture.layers)
    return 4 * _BATCH_TOKENS * (6 * hidden_size + widest + cells)


def _block_features(block: FeedForward, hidden_size: int) -> int:
    if isinstance(block, MixtureOfExperts):
        return 2 * block.active_intermediate_size + block.num_experts_per_tok * hidden_size
    return 2 * int(getattr(block, "intermediate_size", 0))


PART = CostModel("peak_memory_bytes", exact=False, estimate=peak_memory_bytes)

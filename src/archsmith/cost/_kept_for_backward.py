"""Bytes of activations that a layer keeps for its backward pass, by this project's kernels.

What a Function saves is read off `archsmith.model.kernels`: norms keep their input normed and what
they put out, which the stacked products read; attention keeps rotated queries and keys, values and
the softmax of its blocks; a gated block its stacked product and what goes into the last one;
experts their tokens' rows before, between and behind their products.
"""

from collections.abc import Iterator

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.architecture.tree import Layer

# as in archsmith.device.training_choice and archsmith.model.kernels.block_sparse_attention
QUERY_BLOCK = 128
LONGEST_BLOCKED = 1024


def kept_bytes(layer: Layer, hidden_size: int, *, batch: int, tokens: int, width: int) -> int:
    """Bytes a layer keeps of `batch` windows of `tokens`, in numbers of `width` bytes."""
    rows = batch * tokens
    norms = 2 if layer.residual == "sequential" else 1
    elements = norms * 2 * rows * hidden_size
    if isinstance(layer.mixer, Attention):
        elements += _attention(layer.mixer, batch=batch, tokens=tokens)
    routing = 0
    if isinstance(layer.feed_forward, MixtureOfExperts):
        # rows' tokens and places, int64; four arrays of the router's, float32
        routing = (
            rows * 16 * (layer.feed_forward.num_experts_per_tok + layer.feed_forward.num_experts)
        )
    return width * (elements + _feed_forward(layer.feed_forward, hidden_size, rows)) + routing


def _attention(mixer: Attention, *, batch: int, tokens: int) -> int:
    rows = batch * tokens
    queries, keys = rows * mixer.query_size, rows * mixer.key_value_size
    # what the output matrix reads; queries, keys and values as the products met them
    kept = 2 * queries + 2 * keys + mixer.qk_norm * (queries + keys)
    met = sum(count * met for count, met in met_keys(mixer, tokens))
    if met:
        return kept + batch * mixer.num_attention_heads * met
    # torch's own attention keeps the stacked product and its output
    return kept + 2 * queries + keys


def met_keys(mixer: Attention, tokens: int) -> Iterator[tuple[int, int]]:
    """(queries, keys they meet) of every block; nothing where attention is not computed in them."""
    if isinstance(mixer, BlockSparseAttention):
        local = mixer.block_size * mixer.num_local_blocks
        if tokens > local:
            yield from _met_blocks(mixer, tokens)
            return
    window = mixer.sliding_window
    seen = tokens if window is None else min(tokens, window + QUERY_BLOCK)
    if tokens * seen > LONGEST_BLOCKED**2:
        return
    for start in range(0, tokens, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, tokens)
        yield stop - start, stop if window is None else stop - max(0, start - window + 1)


def _met_blocks(mixer: BlockSparseAttention, tokens: int) -> Iterator[tuple[int, int]]:
    size = mixer.block_size
    tile = max(1, QUERY_BLOCK // size) * size
    shift = max(1, mixer.vertical_stride // mixer.num_attention_heads)
    for start in range(0, tokens, tile):
        stop = min(start + tile, tokens)
        first_near = max(0, start // size - mixer.num_local_blocks + 1)
        # the head with the most; others are filled up to it
        far = max(
            (first_near + head * shift) // mixer.vertical_stride
            - head * shift // mixer.vertical_stride
            for head in range(mixer.num_attention_heads)
        )
        yield stop - start, far * size + stop - first_near * size


def _feed_forward(block: FeedForward, hidden_size: int, rows: int) -> int:
    if isinstance(block, MixtureOfExperts):
        sorted_rows = rows * block.num_experts_per_tok
        kept = 2 * sorted_rows * (hidden_size + block.moe_intermediate_size)
        kept += 3 * rows * (block.shared_expert_intermediate_size or 0)
        kept += block.shared_expert_gate * rows * hidden_size
        noisy = block.router == "sparsemixer" and block.router_jitter_noise > 0
        return kept + noisy * rows * hidden_size
    width = int(getattr(block, "intermediate_size", 0))
    return (3 if isinstance(block, GatedMlp) else 2) * rows * width

"""Resident bytes of a worker that trains a network and scores it, on a processor. An estimate.

    the process: interpreter, torch, kernels
    + float32 masters, the flat gradient beside them, the optimizer's state (one number for each of
      Muon's, two for each of AdamW's), in bfloat16 the copy the model computes with: exact
    + 1.26 times the larger of
        - what the forward pass keeps for the backward pass, with 1.5 times the logits of one piece
          or the arrays of the widest feed-forward block, whichever is more
        - what Muon works on: matrices of one shape together, at most 2^22 numbers of them
    + 0.6 times the parameters' own gradients, which come while activations go
    or, where that is more, while the network is scored: masters and state, a float32 copy of the
    model, 0.2 times what training worked on, which stays in pieces, and 1.8 times the widest
    layer's arrays over 4096 tokens

What is kept is counted from this project's kernels (`archsmith.cost._kept_for_backward`). The other
factors were fitted to the growth of 65 processes with networks of 0.3 to 9M parameters, dense and
with experts, both optimizers, contexts of 128 to 1024 tokens, glibc 2.36, float32. On 18 others,
drawn at random (`benchmarks/train_memory.py`), updates were met within 10 % for 16 (-10 to +13 %),
updates and scoring for 13 (-13 to +16 %), the whole resident set for 16 (-2 to +11 %): the C
library leaves holes between what is kept, and which of them are filled differs from run to run. In
bfloat16 on a processor that has no instructions for it, six networks were met less well: growth by
8 % too little in the median and 41 % at worst, the whole resident set within 11 %.
A branch (a cooldown) keeps the trunk's weights and state as well: `branch_memory_bytes`.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.cost._kept_for_backward import kept_bytes, met_keys
from archsmith.cost.base import CostContext, CostModel
from archsmith.device.training_choice import KernelChoice

# A worker before its first network, forked from a warm process: 220 MB of torch 2.13 for CPUs, and
# 14 MB of the store's packages. One that had to import them itself has 275 MB.
PROCESS_BYTES = 235_000_000
_WITH_HOLES = 1.26
_SHARE_OF_GRADIENTS = 0.6
_SHARE_OF_PASSING = 1.5
# tables, masks, products' scratch; in bfloat16 the kernels that oneDNN compiles for each size
_SMALL_THINGS = {"float32": 5_300_000, "bfloat16": 36_000_000}
_SCORE_WITH_HOLES = 1.8
_SCORE_LEFT_OVER = 0.2
_SCORE_SMALL_THINGS = 7_000_000
_QUANTIZING = 4_000_000  # the tables of the library that quantizes
# as in archsmith.train.scoring, archsmith.model.kernels.head, archsmith.train.optimizers.muon
SCORE_TOKENS = 4096
CHUNK_ELEMENTS = 2**20
MUON_ELEMENTS = 2**22
_KERNELS = KernelChoice()
_FLOAT32 = 4


class _Sizes(NamedTuple):
    """What every term counts in: windows of tokens, bytes of a number."""

    batch: int
    tokens: int
    width: int

    @property
    def rows(self) -> int:
        return self.batch * self.tokens


def train_memory_bytes(architecture: Architecture, context: CostContext) -> float:
    """Resident bytes at the peak of a rung: training, then scoring."""
    return PROCESS_BYTES + growth_bytes(architecture, context)


def growth_bytes(architecture: Architecture, context: CostContext) -> float:
    """By how much a worker is larger at the peak of a rung than before its first network."""
    training = training_growth_bytes(architecture, context) + _QUANTIZING
    return max(training, _scoring_growth(architecture, context))


def branch_memory_bytes(architecture: Architecture, context: CostContext) -> float:
    """Resident bytes where the trunk is cooled down: its masters and state are kept beside."""
    kept = _static_bytes(architecture, context) - _FLOAT32 * architecture.num_params
    branch = training_growth_bytes(architecture, context) + kept
    return PROCESS_BYTES + max(branch, growth_bytes(architecture, context))


def training_growth_bytes(architecture: Architecture, context: CostContext) -> float:
    """By how much a worker grows by updates alone."""
    width = _FLOAT32 if context.training.dtype == "float32" else 2
    return (
        _static_bytes(architecture, context)
        + _WITH_HOLES * _worked_on(architecture, context)
        + _SHARE_OF_GRADIENTS * width * architecture.num_params
        + _SMALL_THINGS[context.training.dtype]
    )


def _worked_on(architecture: Architecture, context: CostContext) -> float:
    """The most that an update has at once beside weights, gradients and state."""
    sizes = _sizes(architecture, context)
    forward = _forward_bytes(architecture, sizes)
    if context.training.optimizer != "muon":
        return forward
    return max(forward, _muon_bytes(architecture, sizes))


def _sizes(architecture: Architecture, context: CostContext) -> _Sizes:
    tokens = context.context_length or architecture.max_position_embeddings
    training = context.training
    batch = max(1, round(training.batch_tokens / tokens))  # as the recipe rounds
    return _Sizes(batch, tokens, _FLOAT32 if training.dtype == "float32" else 2)


def _static_bytes(architecture: Architecture, context: CostContext) -> int:
    """Masters, gradients, optimizer state and the working copy."""
    params = architecture.num_params
    by_muon = 0
    if context.training.optimizer == "muon":
        by_muon = sum(rows * columns * n for (rows, columns), n in _matrices(architecture).items())
    working = 0 if context.training.dtype == "float32" else 2 * params
    return _FLOAT32 * (2 * params + by_muon + 2 * (params - by_muon)) + working


def _forward_bytes(architecture: Architecture, sizes: _Sizes) -> float:
    """What is there about when the loss is known."""
    hidden_size, vocab_size = architecture.hidden_size, architecture.vocab_size
    kept = sum(
        count
        * kept_bytes(layer, hidden_size, batch=sizes.batch, tokens=sizes.tokens, width=sizes.width)
        for layer, count in _different(architecture)
    )
    # the last norm's input and output and its gradient; the gradient of the head's weight
    last = 3 * sizes.rows * hidden_size + vocab_size * hidden_size
    logits = min(_logit_rows(vocab_size), sizes.rows) * vocab_size
    widest = max(
        _feeding(layer, hidden_size, rows=sizes.rows) for layer, _ in _different(architecture)
    )
    return kept + sizes.width * (last + _SHARE_OF_PASSING * max(logits, widest))


def _muon_bytes(architecture: Architecture, sizes: _Sizes) -> int:
    """Two float32 copies of a batch of matrices, three in the format, and two of their squares."""
    most = 0
    for (rows, columns), count in _matrices(architecture).items():
        together = min(count, max(1, MUON_ELEMENTS // (rows * columns)))
        elements, squares = together * rows * columns, together * min(rows, columns) ** 2
        most = max(most, 2 * _FLOAT32 * elements + sizes.width * (3 * elements + 2 * squares))
    return most


def _scoring_growth(architecture: Architecture, context: CostContext) -> float:
    tokens = context.context_length or architecture.max_position_embeddings
    batch = max(1, SCORE_TOKENS // tokens)
    rows, vocab_size = batch * tokens, architecture.vocab_size
    widest = max(
        _passing_elements(layer, architecture.hidden_size, batch=batch, tokens=tokens)
        for layer, _ in _different(architecture)
    )
    logits = 2 * _logit_rows(vocab_size) * vocab_size + 2 * rows * architecture.hidden_size
    return (
        _static_bytes(architecture, context)
        + _FLOAT32 * architecture.num_params
        + _SCORE_LEFT_OVER * _worked_on(architecture, context)
        + _SCORE_WITH_HOLES * _FLOAT32 * max(widest, logits)
        + _SCORE_SMALL_THINGS
        + _SMALL_THINGS[context.training.dtype]
    )


def _passing_elements(layer: Layer, hidden_size: int, *, batch: int, tokens: int) -> int:
    """Numbers that are there at once while a layer is computed without a gradient."""
    rows, mixer, mixing = batch * tokens, layer.mixer, 0
    if isinstance(mixer, Attention):
        met = sum(count * keys for count, keys in met_keys(mixer, tokens))
        mixing = rows * 2 * (mixer.query_size + mixer.key_value_size + hidden_size)
        mixing += batch * mixer.num_attention_heads * met
    return max(mixing, _feeding(layer, hidden_size, rows=rows))


def _feeding(layer: Layer, hidden_size: int, *, rows: int) -> int:
    """Numbers of a feed-forward block's arrays, with its input and output."""
    block = layer.feed_forward
    if isinstance(block, MixtureOfExperts):
        each = block.num_experts_per_tok * (2 * hidden_size + 3 * block.moe_intermediate_size)
    else:
        matrices = 3 if isinstance(block, GatedMlp) else 2
        each = matrices * int(getattr(block, "intermediate_size", 0))
    return rows * (each + 2 * hidden_size)


def _logit_rows(vocab_size: int) -> int:
    if vocab_size >= _KERNELS.head_rows_from:
        return _KERNELS.head_rows
    return max(_KERNELS.head_rows, CHUNK_ELEMENTS // vocab_size)


@lru_cache(maxsize=64)  # asked for several times about one network
def _matrices(architecture: Architecture) -> Counter[tuple[int, int]]:
    """Shapes of the hidden matrices, which are Muon's, with their numbers; routers are not."""
    found: Counter[tuple[int, int]] = Counter()
    hidden_size = architecture.hidden_size
    for layer, count in _different(architecture):
        mixer, block = layer.mixer, layer.feed_forward
        if isinstance(mixer, Attention):
            found[mixer.query_size, hidden_size] += count
            found[mixer.key_value_size, hidden_size] += 2 * count
            found[hidden_size, mixer.query_size] += count
        widths = {int(getattr(block, "intermediate_size", 0)): 1}
        if isinstance(block, MixtureOfExperts):
            widths = {block.moe_intermediate_size: block.num_experts}
            if block.shared_expert_intermediate_size is not None:
                shared = block.shared_expert_intermediate_size
                widths[shared] = widths.get(shared, 0) + 1
        stacked = 1 if not isinstance(block, GatedMlp | MixtureOfExperts) else 2
        for width, number in widths.items():
            found[width, hidden_size] += stacked * number * count
            found[hidden_size, width] += number * count
    return found


def _different(architecture: Architecture) -> Iterator[tuple[Layer, int]]:
    """Every layer with how often it stands; by identity, as comparing takes far longer."""
    counts = Counter(map(id, architecture.layers))
    layers = {id(layer): layer for layer in architecture.layers}
    for key, count in counts.items():
        yield layers[key], count


PART = CostModel("train_memory_bytes", exact=False, estimate=train_memory_bytes)

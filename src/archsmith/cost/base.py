"""What every cost model is: a function from architecture to one metric."""

from collections.abc import Callable
from typing import NamedTuple

from archsmith.architecture.tree import Architecture

# bytes of GGUF metadata that a vocabulary of this size needs (tokens, types, merges)
TokenizerBytes = Callable[[int], int]


class CostContext(NamedTuple):
    """What a cost model may need beside the architecture.

    Attributes:
        tokenizer_bytes: GGUF metadata bytes for a vocabulary size; None if no tokenizer is known,
            then `file_bytes` counts tensors and architecture keys only.
        context_length: tokens at which memory is counted; None for the architecture's own maximum.
    """

    tokenizer_bytes: TokenizerBytes | None = None
    context_length: int | None = None


class CostModel(NamedTuple):
    """A metric and how to compute it. `exact`: equal to the measured value, not an estimate."""

    metric: str
    exact: bool
    estimate: Callable[[Architecture, CostContext], float]

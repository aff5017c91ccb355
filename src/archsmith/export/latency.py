"""Milliseconds per generated token of an architecture that was never trained.

Time depends on shapes and storage types, not on values: a temporary GGUF file with random weights
and a vocabulary of the right size is decoded by llama.cpp in a child process. Several
architectures are measured in interleaved rounds, so that whatever else the machine does falls on
all of them alike. Single thread by default; a wheel built for other instructions than the device's
measures that wheel.
"""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice, product
from pathlib import Path

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.export.formats.gguf import write_file
from archsmith.export.layout import StoredTensor
from archsmith.export.llamacpp import Timing, quantize, timing
from archsmith.export.tensors import TensorPlan
from archsmith.export.worker import IsolatedLlamaCpp

_TOKENS_PER_ROUND = 8
_DISTINCT_ROWS = 64  # a matrix repeats this many random rows: quantizing them all shows nothing


def decode_ms_per_token(
    architectures: Sequence[Architecture],
    *,
    context_position: int | None = None,
    rounds: int = 7,
    num_threads: int = 1,
    seed: int = 0,
) -> list[Timing]:
    """Time of one generated token of each architecture, in its quantization.

    Args:
        context_position: tokens before the generated one; half of the context unless given.
        rounds: readings per architecture; each is the median of a few tokens in a row.
    Raises ExportError for a point without a carrier.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        models = []
        for index, architecture in enumerate(architectures):
            position = _position(architecture, context_position)
            path = folder / f"{index}.gguf"
            write_random(path, architecture, seed=seed)
            model = IsolatedLlamaCpp(path, context_tokens=position + 1, num_threads=num_threads)
            model.fill(position)
            stack.callback(model.close)
            models.append((model, position))
        times: list[list[float]] = [[] for _ in models]
        for _ in range(rounds):
            for (model, position), found in zip(models, times, strict=True):
                # the first token of a round refills the processor's caches
                tokens = [model.time_token(position) for _ in range(1 + _TOKENS_PER_ROUND)]
                found.append(float(np.median(tokens[1:])))
    return [
        timing(found, context_position=position, num_threads=num_threads)
        for (_, position), found in zip(models, times, strict=True)
    ]


def _position(architecture: Architecture, wanted: int | None) -> int:
    last = architecture.max_position_embeddings - 1
    return min(architecture.max_position_embeddings // 2 if wanted is None else wanted, last)


def write_random(path: Path, architecture: Architecture, *, seed: int = 0) -> None:
    """Write a GGUF file of the architecture with random weights and a made-up vocabulary."""
    rng = np.random.default_rng(seed)

    def stored(plan: TensorPlan, kind: StoredTensor) -> np.ndarray:
        if not plan.parts:
            return plan.assemble({})
        if len(plan.shape) == 1:
            return np.ones(plan.shape, dtype=np.float32)
        *stack, width = plan.shape
        rows = math.prod(stack)
        few = rng.normal(0.0, 0.02, (min(rows, _DISTINCT_ROWS), width)).astype(np.float32)
        return np.resize(quantize(kind.ggml_type, few), (rows, kind.num_bytes // rows))

    vocabulary = MadeUpVocabulary(architecture.vocab_size)
    write_file(path, architecture=architecture, tokenizer=vocabulary, metadata={}, stored=stored)


class MadeUpVocabulary:
    """Byte-level BPE of any size whose merges join characters in a fixed order."""

    pre_tokenizer = "gpt-2"
    document_token_id = 0

    def __init__(self, vocab_size: int) -> None:
        merges = list(islice(_pairs(), max(vocab_size - 257, 1)))
        joined = [left + right for left, right in merges]
        self._merges = [f"{left} {right}" for left, right in merges]
        self._tokens = ["<|endoftext|>", *_ALPHABET, *joined][:vocab_size]

    def tokens(self) -> list[str]:
        """Entries by id."""
        return self._tokens

    def merges(self) -> list[str]:
        """Merges in order."""
        return self._merges

    def special_token_ids(self) -> list[int]:
        """The document token alone."""
        return [self.document_token_id]

    def added_token_ids(self) -> list[int]:
        """The document token alone."""
        return [self.document_token_id]


_ALPHABET = [chr(256 + byte) for byte in range(256)]  # any 256 characters serve


def _pairs() -> Iterator[tuple[str, str]]:
    yield from product(_ALPHABET, repeat=2)
    for left, right, last in product(_ALPHABET, repeat=3):
        yield left + right, last

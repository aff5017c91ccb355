"""The one way every model is scored: held-out bits per byte with a sliding window.

Every byte of a split counts once, whatever the tokenizer. Document tokens are predicted as well:
their nats count and stand for no byte. Context and stride are given in bytes of text, so that
models with different vocabularies see the same text around a byte (rounded to whole tokens).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from pydantic import PositiveInt

from archsmith.config import Spec
from archsmith.data.token_file import TokenFile
from archsmith.errors import ConfigError, CorpusError


class ScoringProtocol(Spec):
    """How a split is read.

    Attributes:
        context_bytes: text before the end of a window, about.
        stride_bytes: text newly scored in each window after the first, about.
        block_bytes: the split is reported in blocks of so many bytes, for intervals.
        max_bytes: score only the first so many bytes; a token across that border counts with its
            share of bytes and nats, so every tokenizer is scored on the same text.
    """

    context_bytes: PositiveInt = 2048
    stride_bytes: PositiveInt = 1024
    block_bytes: PositiveInt = 4096
    max_bytes: PositiveInt | None = None

    def context_tokens(self, bytes_per_token: float, max_position_embeddings: int) -> int:
        """Input tokens of a window: `context_bytes` of text, within what the model can read."""
        wanted = round(self.context_bytes / bytes_per_token)
        return max(1, min(wanted, max_position_embeddings))

    def stride_tokens(self, bytes_per_token: float, max_position_embeddings: int) -> int:
        """Tokens scored in each window after the first; at most the context."""
        context = self.context_tokens(bytes_per_token, max_position_embeddings)
        return max(1, min(round(self.stride_bytes / bytes_per_token), context))


class Window(NamedTuple):
    """Tokens to read at once: int64 [n]. The last `num_scored` are scored, each given all before.

    `start` is the index in the stream of the first scored token.
    """

    tokens: np.ndarray
    num_scored: int
    start: int


class Score(Spec):
    """A model's score on a split.

    Attributes:
        bits_per_byte: `nats / ln 2 / num_bytes`.
        nats: total over all scored tokens.
        num_bytes: bytes of text scored.
        num_tokens: tokens scored: all of the stream but the first, up to `max_bytes`.
        context_tokens, stride_tokens: the windows used.
        block_nats, block_bytes: per block of text, the same bytes whatever the tokenizer; a token
            across a border is shared out by its bytes. They sum to `nats` and `num_bytes`.
    """

    bits_per_byte: float
    nats: float
    num_bytes: int
    num_tokens: int
    context_tokens: int
    stride_tokens: int
    block_nats: tuple[float, ...]
    block_bytes: tuple[int, ...]


def windows(
    token_file: TokenFile,
    *,
    context_tokens: int,
    stride_tokens: int,
    max_tokens: int | None = None,
) -> Iterator[Window]:
    """Windows in which every token of the stream but the first is scored exactly once.

    A window has at most `context_tokens + 1` tokens, so a model reads at most `context_tokens`.
    The first scores all its tokens but one, the others `stride_tokens` each, the last what is
    left. `max_tokens` stops after that many tokens of the stream.
    """
    if not 1 <= stride_tokens <= context_tokens:
        raise ConfigError(
            f"stride_tokens: {stride_tokens} is outside 1 to context_tokens = {context_tokens}"
        )
    end = token_file.num_tokens if max_tokens is None else min(max_tokens, token_file.num_tokens)
    start = 1
    while start < end:
        stop = min(end, start + (context_tokens if start == 1 else stride_tokens))
        first = max(0, stop - context_tokens - 1)
        tokens = np.array(token_file.tokens[first:stop], dtype=np.int64)
        yield Window(tokens, stop - start, start)
        start = stop


class Plan(NamedTuple):
    """The windows a protocol asks for on a token file; `num_tokens` counts the stream's tokens."""

    context_tokens: int
    stride_tokens: int
    num_tokens: int


def plan(token_file: TokenFile, protocol: ScoringProtocol, *, max_position_embeddings: int) -> Plan:
    """The window sizes in tokens, and how much of the stream is scored. Raises CorpusError."""
    ratio = token_file.bytes_per_token
    if not token_file.num_bytes:
        raise CorpusError(f"the {token_file.split.value} split holds no text to score")
    num_tokens = token_file.num_tokens
    if protocol.max_bytes is not None and protocol.max_bytes < token_file.num_bytes:
        num_tokens = _tokens_within(token_file, protocol.max_bytes)
    return Plan(
        protocol.context_tokens(ratio, max_position_embeddings),
        protocol.stride_tokens(ratio, max_position_embeddings),
        num_tokens,
    )


def _tokens_within(token_file: TokenFile, max_bytes: int) -> int:
    """How many tokens of the stream it takes to reach `max_bytes` bytes of text."""
    done = 0
    part = 1 << 20
    for first in range(0, token_file.num_tokens, part):
        lengths = token_file.token_bytes[token_file.tokens[first : first + part]]
        ends = done + np.cumsum(lengths, dtype=np.int64)
        if ends[-1] >= max_bytes:
            return first + int(np.searchsorted(ends, max_bytes, side="left")) + 1
        done = int(ends[-1])
    return token_file.num_tokens


def score(
    token_file: TokenFile,
    protocol: ScoringProtocol,
    *,
    max_position_embeddings: int,
    nats_of: Callable[[Window], np.ndarray],
) -> Score:
    """Score a model that gives the nats of a window's scored tokens: float64 [num_scored].

    A scorer that reads several windows at once can use `plan`, `windows` and `summarize` itself.
    """
    made = plan(token_file, protocol, max_position_embeddings=max_position_embeddings)
    nats = np.empty(made.num_tokens - 1, dtype=np.float64)
    for window in windows(
        token_file,
        context_tokens=made.context_tokens,
        stride_tokens=made.stride_tokens,
        max_tokens=made.num_tokens,
    ):
        first = window.start - 1
        nats[first : first + window.num_scored] = nats_of(window)
    return summarize(token_file, protocol, made, nats)


def summarize(
    token_file: TokenFile, protocol: ScoringProtocol, made: Plan, nats: np.ndarray
) -> Score:
    """The score from the nats of all scored tokens, float64 [made.num_tokens - 1], in order."""
    lengths = token_file.token_bytes[token_file.tokens[1 : made.num_tokens]]
    beyond = 0 if protocol.max_bytes is None else int(lengths.sum()) - protocol.max_bytes
    if beyond > 0:
        nats = nats.copy()
        nats[-1] *= 1 - beyond / lengths[-1]
        lengths[-1] -= beyond
    return score_of(
        nats,
        lengths,
        block_bytes=protocol.block_bytes,
        context_tokens=made.context_tokens,
        stride_tokens=made.stride_tokens,
    )


def score_of(
    nats: np.ndarray,
    lengths: np.ndarray,
    *,
    block_bytes: int,
    context_tokens: int,
    stride_tokens: int,
) -> Score:
    """The score of a sequence of symbols: nats and bytes of text of each, both [num_scored]."""
    num_bytes = int(lengths.sum(dtype=np.int64))
    total = float(nats.sum(dtype=np.float64))
    return Score(
        bits_per_byte=total / math.log(2) / num_bytes,
        nats=total,
        num_bytes=num_bytes,
        num_tokens=len(nats),
        context_tokens=context_tokens,
        stride_tokens=stride_tokens,
        block_nats=tuple(_block_sums(nats, lengths, block_bytes).tolist()),
        block_bytes=tuple(
            min(block_bytes, num_bytes - first) for first in range(0, num_bytes, block_bytes)
        ),
    )


def _block_sums(nats: np.ndarray, lengths: np.ndarray, block_bytes: int) -> np.ndarray:
    """Nats per block of text, from the running total of nats read off at each block's border.

    Inside a token the total grows evenly with its bytes; the nats of a document token at a border
    go to the block that begins there.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    num_bytes = int(ends[-1])
    totals = np.concatenate([[0.0], np.cumsum(nats, dtype=np.float64)])
    borders = np.arange(block_bytes, num_bytes, block_bytes)
    index = np.searchsorted(ends, borders, side="left")  # the token that reaches the border
    left = ends[index] - borders
    totals_there = totals[index + 1] - nats[index] * left / lengths[index]
    return np.diff(np.concatenate([[0.0], totals_there, [totals[-1]]]))

"""A byte-level n-gram model with interpolated Kneser-Ney smoothing: the floor for trained models.

Kneser and Ney 1995; Chen and Goodman 1999 (absolute discounting per order, lower orders counted by
distinct left neighbours). Written here with sorted numpy arrays because no well-kept library of
fast n-gram models installs from wheels. Letters: c counts, h context, w next byte.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archsmith.data.corpus import Corpus
from archsmith.data.floors import byte_stream, text_bytes
from archsmith.data.protocol import Score, ScoringProtocol, score_of
from archsmith.data.splits import Split
from archsmith.errors import ConfigError, CorpusError

_LONGEST = 8  # bytes that fit an integer of 64 bits
_CHUNK = 1 << 18


class _Order(NamedTuple):
    """Counts of the n-grams of one length, sorted by key: the bytes as one big-endian number."""

    keys: np.ndarray  # uint64 [n]: context and next byte
    counts: np.ndarray  # float64 [n]
    contexts: np.ndarray  # uint64 [m]
    totals: np.ndarray  # float64 [m]: sum of counts after each context
    kinds: np.ndarray  # float64 [m]: distinct next bytes after each context
    discount: float


class NGramModel:
    """Predicts a byte from the `order - 1` bytes before it. Made by `fit`."""

    def __init__(self, orders: Sequence[_Order]) -> None:
        self._orders = tuple(orders)
        self.order = len(orders)

    @property
    def num_bytes(self) -> int:
        """Bytes of the counts as they are held: what would have to be shipped."""
        return sum(
            array.nbytes
            for order in self._orders
            for array in order
            if isinstance(array, np.ndarray)
        )

    @classmethod
    def fit(
        cls,
        corpus: Corpus,
        *,
        order: int = 8,
        split: Split = Split.TRAIN,
        max_bytes: int | None = 50_000_000,
    ) -> "NGramModel":
        """Count a split, at most its first `max_bytes` bytes.

        Needs about 30 bytes of memory for each byte counted. Raises ConfigError, CorpusError.
        """
        return cls.fit_stream(byte_stream(corpus, split, max_bytes=max_bytes), order=order)

    @classmethod
    def fit_stream(cls, stream: np.ndarray, *, order: int = 8) -> "NGramModel":
        """Count a stream of bytes, uint8 [n]. Raises ConfigError, CorpusError."""
        if not 1 <= order <= _LONGEST:
            raise ConfigError(f"order: {order} is outside 1 to {_LONGEST}")
        if len(stream) <= order:
            raise CorpusError(f"{len(stream)} bytes are too few for an n-gram model of {order}")
        keys, counts = _unique(_packed(stream, order))
        orders = [_count(keys, counts.astype(np.float64))]
        for length in range(order - 1, 0, -1):
            # a shorter n-gram counts once for each byte seen before it
            keys, counts = _unique(np.sort(keys & np.uint64(256**length - 1)), is_sorted=True)
            orders.append(_count(keys, counts.astype(np.float64)))
        return cls(orders[::-1])

    def probabilities(self, stream: np.ndarray) -> np.ndarray:
        """float64 [n]: the probability of each byte given those before it in the stream."""
        probability = np.full(len(stream), 1 / 256)
        for length, counted in enumerate(self._orders, start=1):
            if len(stream) < length:
                break
            keys = _packed(stream, length)
            found = probability[length - 1 :]
            for first in range(0, len(keys), _CHUNK):
                part = slice(first, first + _CHUNK)
                found[part] = _interpolate(counted, keys[part], found[part])
        return probability

    def score(self, corpus: Corpus, split: Split, protocol: ScoringProtocol | None = None) -> Score:
        """Bits per byte of a split, in the blocks of the protocol; its windows do not apply."""
        protocol = protocol or ScoringProtocol()
        stream = byte_stream(corpus, split, max_bytes=protocol.max_bytes)
        nats = -np.log(self.probabilities(stream))[1:]  # as everywhere, the first is not scored
        return score_of(
            nats,
            text_bytes(stream)[1:],
            block_bytes=protocol.block_bytes,
            context_tokens=self.order - 1,
            stride_tokens=1,
        )


def _packed(stream: np.ndarray, length: int) -> np.ndarray:
    """uint64 [n - length + 1]: every run of `length` bytes as a number, the last byte lowest."""
    keys = np.zeros(len(stream) - length + 1, dtype=np.uint64)
    for place in range(length):
        keys <<= np.uint64(8)
        keys |= stream[place : place + len(keys)]
    return keys


def _unique(keys: np.ndarray, *, is_sorted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys, ascending, and how often each stands there. Sorts `keys` in place."""
    if not is_sorted:
        keys.sort()
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return keys[starts], np.diff(np.r_[starts, len(keys)])


def _count(keys: np.ndarray, counts: np.ndarray) -> _Order:
    contexts, kinds = _unique(keys >> np.uint64(8), is_sorted=True)
    starts = np.r_[0, np.cumsum(kinds)[:-1]]
    once, twice = (float(np.count_nonzero(counts == times)) for times in (1, 2))
    # Ney's estimate; halfway where the text is too small or regular to tell
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return _Order(
        keys, counts, contexts, np.add.reduceat(counts, starts), kinds.astype(np.float64), discount
    )


def _interpolate(counted: _Order, keys: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """p(w|h) = (c(h,w) - discount + discount kinds(h) p(w|shorter h)) / c(h), for known h."""
    context = keys >> np.uint64(8)
    at = np.minimum(np.searchsorted(counted.contexts, context), len(counted.contexts) - 1)
    known = counted.contexts[at] == context
    place = np.minimum(np.searchsorted(counted.keys, keys), len(counted.keys) - 1)
    count = np.where(counted.keys[place] == keys, counted.counts[place], 0.0)
    kept = np.maximum(count - counted.discount, 0.0)
    given_back = counted.discount * counted.kinds[at] * shorter
    return np.where(known, (kept + given_back) / counted.totals[at], shorter)

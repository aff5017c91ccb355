"""How much of a generated text stands word for word in the training text.

A model of private notes should not recite them. Every run of `window_bytes` bytes of the training
text is kept as a 64-bit hash in a sorted array (the test of exact substrings of Lee et al. 2022,
arXiv 2107.06499, with hashes in place of a suffix array); a false hit has odds of about one in
10^11 for each window looked up.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split, text_digest
from archsmith.errors import ConfigError

_MULTIPLIER = 0x9E3779B97F4A7C15


class VerbatimIndex(NamedTuple):
    """Hashes of the windows of a text.

    Attributes:
        hashes: uint64 [n], ascending.
        window_bytes: the shortest copy that is seen.
        covered: share of the training text that is in the index.
    """

    hashes: np.ndarray
    window_bytes: int
    covered: float


class Copied(NamedTuple):
    """What a text has in common with the index.

    Attributes:
        share: part of its bytes that lie in a copied run of at least the window.
        longest_bytes: the longest such run; runs from several places may join.
        num_bytes: bytes of the text.
    """

    share: float
    longest_bytes: int
    num_bytes: int


def build_index(
    corpus: Corpus,
    *,
    split: Split = Split.TRAIN,
    window_bytes: int = 32,
    max_bytes: int = 32 << 20,
) -> VerbatimIndex:
    """Index the training text: 8 bytes of memory per byte, 16 while it is built.

    Of a split larger than `max_bytes` a fixed sample of documents is taken. Raises ConfigError.
    """
    if window_bytes < 4:
        raise ConfigError(f"window_bytes: {window_bytes} is below 4; 32 is about five words")
    total = corpus.split_bytes(split)
    kept_bytes = 0

    def parts() -> Iterator[np.ndarray]:
        nonlocal kept_bytes
        for text in corpus.documents(split):
            digest = int.from_bytes(text_digest(text)[8:], "big") / 2**64
            if digest * total < max_bytes or total <= max_bytes:
                data = text.encode()
                kept_bytes += len(data)
                yield window_hashes(data, window_bytes)

    found = list(parts())
    hashes = np.concatenate(found) if found else np.empty(0, dtype=np.uint64)
    del found
    hashes.sort()
    if len(hashes):
        hashes = hashes[np.r_[True, hashes[1:] != hashes[:-1]]]
    return VerbatimIndex(hashes, window_bytes, kept_bytes / max(total, 1))


def longest_copied(text: bytes, index: VerbatimIndex) -> Copied:
    """Which part of `text` stands in the index, and its longest run."""
    wanted = window_hashes(text, index.window_bytes)
    copied = np.zeros(len(text), dtype=np.int64)
    if len(wanted) and len(index.hashes):
        place = np.minimum(np.searchsorted(index.hashes, wanted), len(index.hashes) - 1)
        starts = np.flatnonzero(index.hashes[place] == wanted)
        changes = np.zeros(len(text) + 1, dtype=np.int64)
        np.add.at(changes, starts, 1)
        np.add.at(changes, starts + index.window_bytes, -1)
        copied = (np.cumsum(changes)[:-1] > 0).astype(np.int64)
    borders = np.flatnonzero(np.diff(np.r_[0, copied, 0]))
    runs = borders[1::2] - borders[::2]
    return Copied(
        share=float(copied.mean()) if len(text) else 0.0,
        longest_bytes=int(runs.max()) if len(runs) else 0,
        num_bytes=len(text),
    )


def window_hashes(data: bytes, window_bytes: int) -> np.ndarray:
    """uint64 [max(n - window_bytes + 1, 0)]: a polynomial hash of each window, then mixed."""
    count = len(data) - window_bytes + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    # hash of a window of twice the width from two neighbours; the binary digits of
    # `window_bytes` say which widths make up the window
    part = np.frombuffer(data, dtype=np.uint8).astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(count, dtype=np.uint64)
    width, factor, done = 1, _MULTIPLIER, 0
    while width <= window_bytes:
        if window_bytes & width:
            hashes = hashes * np.uint64(factor) + part[done : done + count]
            done += width
        if 2 * width <= window_bytes:
            part = part[:-width] * np.uint64(factor) + part[width:]
        width, factor = 2 * width, factor * factor % 2**64
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)  # from SplitMix64
    hashes ^= hashes >> np.uint64(29)
    return hashes

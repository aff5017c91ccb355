"""Near-duplicate documents by MinHash and banding (Broder 1997; `datasketch`).

Documents are compared as sets of 16-byte windows of their lower-cased text with white space
collapsed; a fixed quarter of the windows, chosen by their hash, stands for all.
"""

from collections.abc import Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH

_WINDOW_BYTES = 16
_NUM_PERMUTATIONS = 64
_SHORTEST = 16  # sampled windows; below, an estimate of similarity means nothing
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class NearDuplicates:
    """Remembers up to `max_documents` documents and tells whether a new one resembles any."""

    def __init__(self, *, threshold: float = 0.8, max_documents: int = 100_000) -> None:
        self.max_documents = max_documents
        self.threshold = threshold
        # candidates are checked by their signatures, so the bands may let too many through
        self._index = MinHashLSH(
            threshold=threshold, num_perm=_NUM_PERMUTATIONS, weights=(0.05, 0.95)
        )
        self._signatures: list[np.ndarray] = []
        self._empty = MinHash(num_perm=_NUM_PERMUTATIONS, hashfunc=_as_is)

    @property
    def full(self) -> bool:
        """Whether no further document is remembered."""
        return len(self._signatures) >= self.max_documents

    def seen(self, text: str) -> bool:
        """Whether a remembered document is at least `threshold` similar; else remember this one."""
        hashes = window_hashes(text.encode())
        if len(hashes) < _SHORTEST:
            return False
        sketch = self._empty.copy()
        sketch.update_batch(hashes)
        signature = sketch.hashvalues.astype(np.uint32)
        for key in self._index.query(sketch):
            if np.mean(self._signatures[key] == signature) >= self.threshold:
                return True
        if not self.full:
            self._index.insert(len(self._signatures), sketch, check_duplication=False)
            self._signatures.append(signature)
        return False


def window_hashes(data: bytes) -> Sequence[int]:
    """32-bit hashes of a fixed quarter of the distinct 16-byte windows, ascending."""
    data = b" ".join(data.lower().split())
    if len(data) < _WINDOW_BYTES:
        return []
    hashes = np.frombuffer(data, dtype=np.uint8).astype(np.uint64) + np.uint64(1)
    width, factor = 1, int(_MULTIPLIER)
    while width < _WINDOW_BYTES:  # two neighbouring windows make one of twice the width
        hashes = hashes[:-width] * np.uint64(factor) + hashes[width:]
        width, factor = 2 * width, factor * factor % 2**64
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint64(29)
    kept = hashes[(hashes & np.uint64(3)) == 0] >> np.uint64(32)
    return np.unique(kept).tolist()


def _as_is(value: int) -> int:
    return value

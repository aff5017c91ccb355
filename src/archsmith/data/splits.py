"""The four splits, and which one a text belongs to by the hash of its own content."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

MANIFEST = "corpus.json"  # of a prepared corpus: written last, so its presence means complete


class Split(StrEnum):
    """Training text, search-validation, selection-validation, and the sealed test."""

    TRAIN = "train"
    SEARCH = "search"
    SELECTION = "selection"
    TEST = "test"


def split_file(split: Split) -> str:
    """The name of a split's file in the corpus folder."""
    return f"{split.value}.jsonl"


def text_digest(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def split_of(digest: bytes, fractions: Mapping[Split, float]) -> Split:
    """The split of a text with this digest; what `fractions` leaves over is training text.

    The sealed test is drawn first, then the validation splits, so changing the validation
    fraction never moves a text into or out of the test.
    """
    draw = int.from_bytes(digest[:8], "big") / 2**64
    for split in (Split.TEST, Split.SEARCH, Split.SELECTION):
        draw -= fractions.get(split, 0.0)
        if draw < 0:
            return split
    return Split.TRAIN


def recommended_fraction(corpus_bytes: int, *, minimum_split_bytes: int = 8192) -> float:
    """A share for each held-out split that gives it about four times the least size.

    Between 0.02, the default, and 0.15; for settings written to suit a small corpus.
    """
    wanted = 4 * minimum_split_bytes / max(corpus_bytes, 1)
    return min(0.15, max(0.02, round(wanted + 0.005, 2)))

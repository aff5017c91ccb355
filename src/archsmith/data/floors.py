"""The byte stream that compressors and n-gram models read: documents joined as the protocol does.

Before each document stands one symbol for the document token (the byte 0, which no text of a
corpus holds); it is predicted like any other and stands for no byte of text.
"""

from collections.abc import Iterator

import numpy as np

from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split

DOCUMENT_BYTE = b"\0"


def byte_stream(corpus: Corpus, split: Split, *, max_bytes: int | None = None) -> np.ndarray:
    """uint8 [n]: the split's text with document bytes, cut after `max_bytes` bytes of text."""
    parts: list[bytes] = []
    held = 0
    for part in _parts(corpus, split):
        text_bytes = len(part) - part.startswith(DOCUMENT_BYTE)
        if max_bytes is not None and held + text_bytes >= max_bytes:
            parts.append(part[: len(part) - (held + text_bytes - max_bytes)])
            break
        parts.append(part)
        held += text_bytes
    return np.frombuffer(b"".join(parts), dtype=np.uint8)


def text_bytes(stream: np.ndarray) -> np.ndarray:
    """int64 [n]: bytes of text each symbol stands for."""
    return (stream != DOCUMENT_BYTE[0]).astype(np.int64)


def _parts(corpus: Corpus, split: Split) -> Iterator[bytes]:
    for index, text in enumerate(corpus.documents(split)):
        begins = index == 0 or not corpus.continuous
        yield (DOCUMENT_BYTE if begins else b"") + text.encode().replace(b"\0", b" ")

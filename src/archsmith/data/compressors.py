"""What a general compressor makes of held-out text: xz (LZMA2) at level 9, standard library.

With training text before it, the held-out text costs what it adds: 8 (C(train + held-out) -
C(train)) / bytes (conditional compression, Cilibrasi and Vitányi 2005). Level 9 looks back 64 MiB,
so no more training text than that can help; the last part is taken, next to the held-out text.
"""

import lzma
from typing import NamedTuple

import numpy as np

from archsmith.data.corpus import Corpus
from archsmith.data.floors import DOCUMENT_BYTE, byte_stream
from archsmith.data.splits import Split
from archsmith.errors import ConfigError, CorpusError

DICTIONARY_BYTES = 64 << 20
_PRESET = 9


class CompressedSize(NamedTuple):
    """Bits per byte of held-out text, alone and given training text, and how much of each.

    `packed_train_bytes` is the training text compressed: what a decoder has to be given.
    """

    bits_per_byte: float
    bits_per_byte_alone: float
    num_bytes: int
    train_bytes: int
    packed_train_bytes: int


def xz_bits_per_byte(
    corpus: Corpus,
    split: Split,
    *,
    max_train_bytes: int = 8 << 20,
    max_bytes: int | None = None,
) -> CompressedSize:
    """Compress a split after the last `max_train_bytes` bytes of training text.

    The training text is compressed twice, at one to three MB a second. `max_bytes`
    takes the beginning of the split only.
    Raises ConfigError, CorpusError.
    """
    if not 0 <= max_train_bytes <= DICTIONARY_BYTES:
        raise ConfigError(
            f"max_train_bytes: {max_train_bytes} is outside 0 to {DICTIONARY_BYTES}, "
            "how far xz -9 looks back"
        )
    held_out = byte_stream(corpus, split, max_bytes=max_bytes)
    num_bytes = int(np.count_nonzero(held_out != DOCUMENT_BYTE[0]))
    if not num_bytes:
        raise CorpusError(f"the {split.value} split holds no text to compress")
    train = _tail(corpus, max_train_bytes)
    before = _compressed_bytes(train)
    after = _compressed_bytes(train + held_out.tobytes())
    alone = _compressed_bytes(held_out.tobytes())
    return CompressedSize(
        bits_per_byte=8 * (after - before) / num_bytes,
        bits_per_byte_alone=8 * alone / num_bytes,
        num_bytes=num_bytes,
        train_bytes=len(train),
        packed_train_bytes=before,
    )


def _tail(corpus: Corpus, max_bytes: int) -> bytes:
    """The last bytes of the training stream, read without holding more than twice as many."""
    kept = b""
    parts: list[bytes] = []
    held = 0
    for index, text in enumerate(corpus.documents(Split.TRAIN)):
        begins = index == 0 or not corpus.continuous
        parts.append((DOCUMENT_BYTE if begins else b"") + text.encode())
        held += len(parts[-1])
        if held > max_bytes:
            kept, parts, held = (kept + b"".join(parts))[-max_bytes:] if max_bytes else b"", [], 0
    joined = kept + b"".join(parts)
    return joined[len(joined) - min(max_bytes, len(joined)) :]


def _compressed_bytes(data: bytes) -> int:
    # no integrity check: its bytes are no part of the text's cost
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, preset=_PRESET))

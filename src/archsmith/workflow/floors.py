"""What needs no network: `xz -9` and a byte-level n-gram model on the same held-out text.

A model that does not beat them has learnt nothing a compressor does not know.
"""

from archsmith.data.compressors import xz_bits_per_byte
from archsmith.data.corpus import Corpus
from archsmith.data.ngram import NGramModel
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.trial import ArmResult

NGRAM = "n-gram model"
XZ = "xz -9"


def measure_floors(
    corpus: Corpus, split: Split, protocol: ScoringProtocol, *, order: int = 8
) -> list[ArmResult]:
    """The n-gram model and xz, each given the training text, scored on the protocol's bytes."""
    ngram = NGramModel.fit(corpus, order=order)
    score = ngram.score(corpus, split, protocol)
    packed = xz_bits_per_byte(corpus, split, max_bytes=protocol.max_bytes)
    return [
        ArmResult(
            name=NGRAM,
            kind="floor",
            metrics={
                "bits_per_byte": score.bits_per_byte,
                "file_bytes": float(ngram.num_bytes),
            },
            block_nats=score.block_nats,
            block_bytes=score.block_bytes,
            details={"order": order, "smoothing": "interpolated, absolute discounting"},
        ),
        ArmResult(
            name=XZ,
            kind="floor",
            # what a decoder needs beside the held-out text: the training text, compressed
            metrics={
                "bits_per_byte": packed.bits_per_byte,
                "file_bytes": float(packed.packed_train_bytes),
            },
            details={
                "train_bytes": packed.train_bytes,
                "bits_per_byte_alone": packed.bits_per_byte_alone,
            },
        ),
    ]

"""Text as token windows for `time_to_loss.py`: the same windows in the same order for every engine.

Without a path the text is part of this Python's own library. Vocabularies of 256 are bytes; larger
ones are trained on the training split, as the product does it.
"""

import math
import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from archsmith.data.corpus import Corpus, CorpusConfig
from archsmith.data.splits import Split
from archsmith.data.tokenizer import Tokenizer
from archsmith.model.transformer import Transformer

PACKAGES = ("asyncio", "concurrent", "ctypes", "email", "html", "http", "importlib", "json")
PACKAGES += ("logging", "multiprocessing", "unittest", "urllib", "xml", "xmlrpc")
BYTES = 256  # of this vocabulary size a byte is a token


class Text(NamedTuple):
    """Windows of T + 1 tokens: training ones in a fixed random order, held-out ones as they lie.

    Shapes: train int64 [N, T+1], held_out int64 [M, T+1]. `held_out_bytes` is what the last T
    tokens of all held-out windows stand for.
    """

    train: np.ndarray
    held_out: np.ndarray
    held_out_bytes: int


def make_text(
    path: str | None, folder: Path, *, vocab_size: int, context_tokens: int, held_out_windows: int
) -> Text:
    """Prepare the text in `folder`, or reuse what is there."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = (path,) if path else tuple(str(library / name) for name in PACKAGES)
    files = tuple(name for name in files if Path(name).exists())
    config = CorpusConfig(
        files=files, exclude=("test/", "tests/"), near_duplicates=False, validation_fraction=0.05
    )
    corpus = Corpus.prepare(config, folder / "corpus")
    encode, token_bytes = _as_bytes, np.ones(BYTES, dtype=np.int64)
    if vocab_size != BYTES:
        saved = folder / f"tokenizer-{vocab_size}.json"
        if not saved.exists():
            Tokenizer.train(corpus, vocab_size=vocab_size).save(saved)
        tokenizer = Tokenizer.from_file(saved)
        encode, token_bytes = tokenizer.encode, tokenizer.token_bytes
    train, held_out = (
        _windows(
            [token for text in corpus.documents(split) for token in encode(text)],
            context_tokens + 1,
        )
        for split in (Split.TRAIN, Split.SEARCH)
    )
    order = np.random.default_rng(0).permutation(len(train))
    # spread over the split, whose documents differ
    held_out = held_out[:: max(1, len(held_out) // held_out_windows)][:held_out_windows]
    return Text(train[order], held_out, int(token_bytes[held_out[:, 1:]].sum()))


def batch(text: Text, number: int, size: int) -> np.ndarray:
    """The windows of update `number`, int64 [size, T+1]; the order repeats at its end."""
    return text.train[np.arange(number * size, (number + 1) * size) % len(text.train)]


def bits_per_byte(model: Transformer, text: Text) -> float:
    """Of the held-out windows."""
    tokens = torch.from_numpy(text.held_out)
    nats = sum(
        model.token_nats(some[:, :-1], some[:, 1:]).double().sum().item()
        for some in tokens.split(4)
    )
    return nats / math.log(2) / text.held_out_bytes


def _as_bytes(text: str) -> list[int]:
    return list(text.encode())


def _windows(tokens: list[int], size: int) -> np.ndarray:
    count = len(tokens) // size
    return np.array(tokens[: count * size], dtype=np.int64).reshape(count, size)

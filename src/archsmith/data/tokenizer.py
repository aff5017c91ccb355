"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on the `tokenizers` library.

Trained once at the largest vocabulary: the document token has id 0, the 256 bytes come next, then
merges in the order they were found, so a smaller vocabulary is a prefix of the larger one and
`prefix` costs nothing. The pre-tokenizers are the three whose regular expressions llama.cpp has
under the same names. Text is never parsed for special tokens: a text that spells the document
token is encoded as ordinary characters, so no text can end a document.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from archsmith.config import content_hash, read_text
from archsmith.data.corpus import Corpus
from archsmith.data.pre_tokenizers import (
    BYTE_OF,
    PRE_TOKENIZERS,
    REGEXES,
    kind_of_file,
    pre_tokenizer_named,
)
from archsmith.data.splits import Split, text_digest
from archsmith.data.storage import write_text
from archsmith.data.threads import threads
from archsmith.errors import ConfigError, CorpusError

__all__ = ["DOCUMENT_TOKEN", "PRE_TOKENIZERS", "REGEXES", "Tokenizer"]

DOCUMENT_TOKEN = "<|endoftext|>"
_DOCUMENT_TOKENS = (DOCUMENT_TOKEN, "</s>", "<|end_of_text|>")
_SMALLEST_VOCAB = 257  # the document token and every byte
_TRAINING_BYTES = 100_000_000  # more text hardly changes 64k merges and costs a minute per 100 MB


class Tokenizer:
    """A byte-level BPE tokenizer whose `decode(encode(text))` is `text`, for any text.

    Attributes:
        pre_tokenizer: "gpt-2", "llama-bpe" or "qwen2".
        document_token, document_token_id: what stands between documents in a token stream.
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, *, pre_tokenizer: str, document_token: str
    ) -> None:
        backend.encode_special_tokens = True
        self._backend = backend
        self.pre_tokenizer = pre_tokenizer
        self.document_token = document_token
        index = backend.token_to_id(document_token)
        assert index is not None, f"{document_token} has no id"
        self.document_token_id: int = index

    @classmethod
    def train(
        cls,
        corpus: Corpus,
        *,
        vocab_size: int,
        pre_tokenizer: str = "gpt-2",
        max_bytes: int | None = _TRAINING_BYTES,
        num_threads: int | None = None,
    ) -> "Tokenizer":
        """Find `vocab_size` entries in the training split.

        Of a larger split a fixed sample of about `max_bytes` is read, chosen by document.
        Raises CorpusError when the text does not support so many entries, ConfigError for settings.
        """
        if vocab_size < _SMALLEST_VOCAB:
            raise ConfigError(
                f"vocab_size: {vocab_size} is below {_SMALLEST_VOCAB}, "
                "the document token and one entry for each byte"
            )
        backend = tokenizers.Tokenizer(_model({}, [], pre_tokenizer))
        backend.pre_tokenizer = pre_tokenizer_named(pre_tokenizer)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,  # a pair seen once is noise
            special_tokens=[DOCUMENT_TOKEN],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        with threads(num_threads):
            backend.train_from_iterator(_sample(corpus, max_bytes), trainer)
        supported = backend.get_vocab_size()
        if supported < vocab_size:
            raise CorpusError(
                f"vocab_size: the corpus supports only {supported:,} entries, {vocab_size:,} were "
                f"asked for; ask for at most {supported:,}, or give more text"
            )
        return cls(backend, pre_tokenizer=pre_tokenizer, document_token=DOCUMENT_TOKEN)

    @classmethod
    def from_file(cls, path: Path, *, document_token: str | None = None) -> "Tokenizer":
        """Read a byte-level BPE `tokenizer.json` with one of the known pre-tokenizers.

        Its document token is `document_token`, else the first it has of `<|endoftext|>`, `</s>`
        and `<|end_of_text|>`. Unicode normalization (NFC) is dropped with a warning, since
        llama.cpp does none. Raises ConfigError.
        """
        try:
            data = json.loads(read_text(path))
            backend = tokenizers.Tokenizer.from_str(json.dumps(data))
        except ConfigError:
            raise
        except Exception as error:  # the library raises plain Exception
            raise ConfigError(f"{path}: not a tokenizer.json: {error}") from None
        kind = kind_of_file(data, path)
        if data.get("normalizer") is not None:
            warnings.warn(f"{path}: its Unicode normalization (NFC) is not applied", stacklevel=2)
            backend.normalizer = None
        vocab = backend.get_vocab()
        if missing := [stand_in for stand_in in BYTE_OF if stand_in not in vocab]:
            raise ConfigError(
                f"{path}: {len(missing)} of the 256 bytes have no token, so some text cannot be "
                "encoded; a byte-level BPE with the full byte alphabet is needed"
            )
        if sorted(vocab.values()) != list(range(len(vocab))):
            raise ConfigError(
                f"{path}: token ids are not 0 to {len(vocab) - 1} without gaps; "
                "fill the gaps with unused added tokens"
            )
        candidates = [document_token] if document_token else _DOCUMENT_TOKENS
        found = next((token for token in candidates if token in vocab), None)
        if found is None:
            raise ConfigError(
                f"{path}: no document token: none of {', '.join(candidates)} is in the vocabulary; "
                "name the token that ends a document with document_token"
            )
        return cls(backend, pre_tokenizer=kind, document_token=found)

    def prefix(self, vocab_size: int) -> "Tokenizer":
        """The tokenizer with the first `vocab_size` entries: fewer merges, same ids.

        Raises ConfigError where entries do not stand in the order of merges.
        """
        ids = self._backend.get_vocab()
        made = [ids[left + right] for left, right in self._merge_pairs]
        smallest = self.vocab_size - len(set(made))
        if not smallest <= vocab_size <= self.vocab_size:
            raise ConfigError(
                f"vocab_size: {vocab_size} is outside {smallest} to {self.vocab_size}, "
                "what this tokenizer can be cut to"
            )
        if vocab_size == self.vocab_size:
            return self
        if reason := self._not_in_merge_order(made, smallest):
            raise ConfigError(f"this tokenizer cannot be cut to {vocab_size} entries: {reason}")
        # training at this size stops at the first merge that makes an entry too many
        stop = next(place for place, index in enumerate(made) if index >= vocab_size)
        data = json.loads(self._backend.to_str())
        vocab = data["model"]["vocab"]
        data["model"]["vocab"] = {token: i for token, i in vocab.items() if i < vocab_size}
        data["model"]["merges"] = self._merge_pairs[:stop]
        return Tokenizer(
            tokenizers.Tokenizer.from_str(json.dumps(data)),
            pre_tokenizer=self.pre_tokenizer,
            document_token=self.document_token,
        )

    def padded(self, vocab_size: int) -> "Tokenizer":
        """The tokenizer with unused special tokens at the end, for a longer embedding table.

        Raises ConfigError where it has more entries already.
        """
        if vocab_size < self.vocab_size:
            raise ConfigError(
                f"the tokenizer has {self.vocab_size} entries, the embedding table {vocab_size}; "
                "a table at least as long is needed"
            )
        if vocab_size == self.vocab_size:
            return self
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        unused = [f"<|unused_{index}|>" for index in range(self.vocab_size, vocab_size)]
        backend.add_special_tokens(
            [tokenizers.AddedToken(name, special=True, normalized=False) for name in unused]
        )
        return Tokenizer(
            backend, pre_tokenizer=self.pre_tokenizer, document_token=self.document_token
        )

    def _not_in_merge_order(self, made: Sequence[int], smallest: int) -> str:
        """Why ids do not begin with bytes and special tokens and go on in the order of merges."""
        if late := [entry["content"] for i, entry in self._added.items() if i >= smallest]:
            return f"'{late[0]}' has an id after the merged tokens and would be lost"
        newest = smallest - 1
        for index in made:
            if index > newest + 1:
                return "its ids do not follow the order of its merges"
            newest = max(newest, index)
        return ""

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`, which transformers' PreTrainedTokenizerFast reads.

        Raises ConfigError.
        """
        write_text(path, self._backend.to_str(pretty=True))

    @property
    def vocab_size(self) -> int:
        """Number of entries, special tokens included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def hash(self) -> str:
        """Changes when any text could be encoded differently."""
        return content_hash(
            {
                "pre_tokenizer": self.pre_tokenizer,
                "document_token": self.document_token,
                "tokens": self.tokens(),
                "merges": self.merges(),
                "added": {str(index): entry for index, entry in self._added.items()},
            }
        )

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """int32 [vocab_size]: bytes of text each token stands for; 0 for special tokens."""
        return np.array([len(data) for data in self._bytes_of_token], dtype=np.int32)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without a document token."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, in parallel."""
        encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; special tokens give nothing, broken characters U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes of `ids`, which may end inside a character."""
        table = self._bytes_of_token
        return b"".join([table[index] for index in ids])

    def tokens(self) -> list[str]:
        """All entries by id: bytes in GPT-2's printable alphabet, added tokens as they are."""
        by_id = sorted(self._backend.get_vocab().items(), key=lambda entry: entry[1])
        return [token for token, _ in by_id]

    def merges(self) -> list[str]:
        """All merges in order, each "left right"."""
        return [f"{left} {right}" for left, right in self._merge_pairs]

    def special_token_ids(self) -> list[int]:
        """Ids of tokens that stand for no text, ascending."""
        return [index for index, entry in self._added.items() if entry["special"]]

    def added_token_ids(self) -> list[int]:
        """Ids of tokens matched before pre-tokenization, special ones included, ascending."""
        return list(self._added)

    @cached_property
    def _data(self) -> dict[str, Any]:
        return json.loads(self._backend.to_str())

    @cached_property
    def _merge_pairs(self) -> list[tuple[str, str]]:
        return [(left, right) for left, right in self._data["model"]["merges"]]

    @cached_property
    def _added(self) -> dict[int, dict[str, Any]]:
        entries = sorted(self._data["added_tokens"], key=lambda entry: entry["id"])
        return {entry["id"]: entry for entry in entries}

    @cached_property
    def _bytes_of_token(self) -> list[bytes]:
        table = []
        for index, token in enumerate(self.tokens()):
            if index == self.document_token_id:
                table.append(b"")
            elif index in self._added:
                table.append(b"" if self._added[index]["special"] else token.encode())
            else:
                table.append(bytes(BYTE_OF[stand_in] for stand_in in token))
        return table


def _model(vocab: dict[str, int], merges: list[tuple[str, str]], pre_tokenizer: str) -> models.BPE:
    # llama.cpp looks whole words up before merging under "llama-bpe", as Llama 3's own file does
    return models.BPE(vocab=vocab, merges=merges, ignore_merges=pre_tokenizer == "llama-bpe")


def _sample(corpus: Corpus, max_bytes: int | None) -> Iterator[str]:
    total = corpus.split_bytes(Split.TRAIN)
    share = 1.0 if max_bytes is None else max_bytes / max(total, 1)
    for text in corpus.documents(Split.TRAIN):
        # other digits of the digest than those that choose the split
        if share >= 1 or int.from_bytes(text_digest(text)[8:], "big") < share * 2**64:
            yield text

"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on the `tokenizers` library.

Trained once at the largest vocabulary: the document token has id 0, the 256 bytes come next, then
merges in the order they were found, so a smaller vocabulary is a prefix of the larger one and
`prefix` costs nothing. The pre-tokenizers are the three whose regular expressions llama.cpp has
under the same names. Text is never parsed for special tokens: a text that spells the document
token is encoded as ordinary characters, so no text can end a document.
"""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from archsmith.config import content_hash, read_text
from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split, text_digest
from archsmith.data.storage import write_text
from archsmith.errors import ConfigError, CorpusError, did_you_mean

DOCUMENT_TOKEN = "<|endoftext|>"
_DOCUMENT_TOKENS = (DOCUMENT_TOKEN, "</s>", "<|end_of_text|>")
_SMALLEST_VOCAB = 257  # the document token and every byte
_TRAINING_BYTES = 100_000_000  # more text hardly changes 64k merges and costs a minute per 100 MB
# as published with Llama 3 and Qwen2, and as llama.cpp has them for "llama-bpe" and "qwen2"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES = {"llama-bpe": _WORDS % "{1,3}", "qwen2": _WORDS % ""}
PRE_TOKENIZERS = ("gpt-2", *REGEXES)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    stand_ins = {chr(byte): byte for byte in printable}
    return stand_ins | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


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
        backend.pre_tokenizer = _pre_tokenizer(pre_tokenizer)
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
        kind = _check_kind(data, path)
        if data.get("normalizer") is not None:
            warnings.warn(f"{path}: its Unicode normalization (NFC) is not applied", stacklevel=2)
            backend.normalizer = None
        vocab = backend.get_vocab()
        if missing := [stand_in for stand_in in _BYTE_OF if stand_in not in vocab]:
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
        if not _SMALLEST_VOCAB <= vocab_size <= self.vocab_size:
            raise ConfigError(
                f"vocab_size: {vocab_size} is outside {_SMALLEST_VOCAB} to {self.vocab_size}, "
                "what this tokenizer can be cut to"
            )
        if vocab_size == self.vocab_size:
            return self
        if reason := self._not_in_merge_order():
            raise ConfigError(f"this tokenizer cannot be cut to {vocab_size} entries: {reason}")
        tokens = self.tokens()
        kept: list[tuple[str, str]] = []
        ids = self._backend.get_vocab()
        for left, right in self._merge_pairs:
            if ids[left + right] >= vocab_size:
                break  # training at this size stops here
            kept.append((left, right))
        data = json.loads(self._backend.to_str())
        data["model"]["vocab"] = {
            token: index
            for index, token in enumerate(tokens[:vocab_size])
            if index not in self._added
        }
        data["model"]["merges"] = kept
        data["model"]["vocab"] |= {
            token: index for token, index in self._model_vocab.items() if index in self._added
        }
        backend = tokenizers.Tokenizer.from_str(json.dumps(data))
        return Tokenizer(
            backend, pre_tokenizer=self.pre_tokenizer, document_token=self.document_token
        )

    def _not_in_merge_order(self) -> str:
        ids = self._backend.get_vocab()
        made = [ids[left + right] for left, right in self._merge_pairs]
        first_made = self.vocab_size - len(set(made))
        if late := [entry["content"] for i, entry in self._added.items() if i >= first_made]:
            return f"'{late[0]}' has an id after the merged tokens and would be lost"
        highest = first_made - 1
        for index in made:
            if index > highest + 1:
                return "its ids do not follow the order of its merges"
            highest = max(highest, index)
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
    def _model_vocab(self) -> dict[str, int]:
        return self._data["model"]["vocab"]

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
                table.append(bytes(_BYTE_OF[stand_in] for stand_in in token))
        return table


@contextmanager
def threads(num_threads: int | None) -> Iterator[None]:
    """Run the library's parallel parts on `num_threads` threads; None leaves it to the machine.

    One thread always holds; a larger number holds if it is asked for before the first parallel
    call of the process, when the library makes its pool.
    """
    if num_threads is None:
        yield
        return
    wanted = {"TOKENIZERS_PARALLELISM": "true" if num_threads > 1 else "false"}
    if num_threads > 1:
        wanted["RAYON_NUM_THREADS"] = str(num_threads)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _model(vocab: dict[str, int], merges: list[tuple[str, str]], pre_tokenizer: str) -> models.BPE:
    # llama.cpp looks whole words up before merging under "llama-bpe", as Llama 3's own file does
    return models.BPE(vocab=vocab, merges=merges, ignore_merges=pre_tokenizer == "llama-bpe")


def _pre_tokenizer(name: str) -> Any:
    if name not in PRE_TOKENIZERS:
        known = did_you_mean(name, PRE_TOKENIZERS)
        raise ConfigError(f"pre_tokenizer: unknown pre-tokenizer '{name}'; {known}")
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(REGEXES[name]), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _check_kind(data: dict[str, Any], path: Path) -> str:
    """The name of a file's pre-tokenizer. Raises ConfigError where the file is of no known kind."""
    model = data.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        given = "BPE with byte fallback" if model.get("byte_fallback") else model.get("type")
        raise ConfigError(f"{path}: a byte-level BPE tokenizer is needed; this one is {given}")
    normalizer = data.get("normalizer")
    if normalizer is not None and normalizer.get("type") != "NFC":
        raise ConfigError(
            f"{path}: its normalizer {normalizer.get('type')} changes the text; "
            "a byte-level BPE without one is needed"
        )
    found = data.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    last = steps[-1]
    if last.get("type") == "ByteLevel" and not last.get("add_prefix_space"):
        regexes = [step.get("pattern", {}).get("Regex") for step in steps[:-1]]
        if not regexes and last.get("use_regex", True):
            return "gpt-2"
        for name, regex in REGEXES.items():
            if regexes == [regex] and not last.get("use_regex", True):
                return name
    raise ConfigError(
        f"{path}: its pre-tokenizer is none of {', '.join(PRE_TOKENIZERS)}, "
        "the ones llama.cpp computes alike"
    )


def _sample(corpus: Corpus, max_bytes: int | None) -> Iterator[str]:
    total = corpus.split_bytes(Split.TRAIN)
    share = 1.0 if max_bytes is None else max_bytes / max(total, 1)
    for text in corpus.documents(Split.TRAIN):
        # other digits of the digest than those that choose the split
        if share >= 1 or int.from_bytes(text_digest(text)[8:], "big") < share * 2**64:
            yield text

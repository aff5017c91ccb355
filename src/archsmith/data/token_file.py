"""A split as one stream of token ids on disk, memory-mapped, beside a manifest of hashes.

Before the tokens of each document stands the document token; a continuous corpus has a single one
at the start of the split. The file is written in batches, under a temporary name, and made anew
only when the text or the tokenizer changes, or when it is damaged.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from archsmith.config import Spec, load_json
from archsmith.data.corpus import Corpus
from archsmith.data.splits import Split
from archsmith.data.storage import (
    clear_write_errors,
    file_hash,
    make_folder,
    partial_path,
    publish,
    remove_leftovers,
    write_text,
)
from archsmith.data.threads import threads
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ArchsmithError, ConfigError, CorpusError

_VERSION = 1
_BATCH_BYTES = 4 << 20


class _Manifest(Spec):
    version: int
    split: Split
    corpus_hash: str
    tokenizer_hash: str
    document_token_id: int
    dtype: str
    num_tokens: int
    num_bytes: int
    sha256: str
    token_bytes: tuple[int, ...]


class TokenFile:
    """A stream of token ids.

    Attributes:
        path: the file of ids; its manifest has the ending .json.
        num_tokens: ids in the stream, document tokens included.
        num_bytes: bytes of text the stream stands for.
        token_bytes: int32 [vocabulary], bytes each token stands for.
        split, corpus_hash, tokenizer_hash, document_token_id: where it comes from.
    """

    def __init__(self, path: Path, manifest: _Manifest) -> None:
        self.path = path
        self.split = manifest.split
        self.corpus_hash = manifest.corpus_hash
        self.tokenizer_hash = manifest.tokenizer_hash
        self.document_token_id = manifest.document_token_id
        self.num_tokens = manifest.num_tokens
        self.num_bytes = manifest.num_bytes
        self.token_bytes = np.array(manifest.token_bytes, dtype=np.int32)
        self._dtype = manifest.dtype

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        split: Split,
        tokenizer: Tokenizer,
        directory: Path,
        *,
        progress: Callable[[float], None] | None = None,
        num_threads: int | None = None,
    ) -> "TokenFile":
        """Encode a split into `directory`, or reuse the file there if it is whole and current.

        `progress` is told a fraction from 0 to 1. Raises CorpusError, ConfigError.
        """
        origin = f"{corpus.hash[:8]}-{tokenizer.vocab_size}-{tokenizer.hash[:8]}"
        path = directory / f"{split.value}-{origin}.tokens"
        try:
            manifest = _read_manifest(path)
            current = (manifest.corpus_hash, manifest.tokenizer_hash, manifest.split)
            if current == (corpus.hash, tokenizer.hash, split) and manifest.sha256 == file_hash(
                path
            ):
                return cls(path, manifest)
        except ArchsmithError:
            pass  # missing, damaged or of another version: made anew
        make_folder(directory)
        remove_leftovers(directory)
        _manifest_path(path).unlink(missing_ok=True)
        partial = partial_path(path)
        with clear_write_errors(path), threads(num_threads):
            try:
                manifest = _write(corpus, split, tokenizer, partial, progress)
                publish(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        write_text(_manifest_path(path), manifest.model_dump_json())
        return cls(path, manifest)

    @classmethod
    def from_tokens(
        cls,
        tokens: np.ndarray,
        path: Path,
        *,
        token_bytes: np.ndarray,
        document_token_id: int = 0,
        split: Split = Split.TRAIN,
        corpus_hash: str = "",
        tokenizer_hash: str = "",
    ) -> "TokenFile":
        """Write a stream that is already there: integers [num_tokens], a document token first.

        `token_bytes` is int [vocabulary], the bytes of text of each id. Raises ConfigError.
        """
        if not len(tokens) or int(tokens.min()) < 0 or int(tokens.max()) >= len(token_bytes):
            raise ConfigError(f"tokens: ids must be 0 to {len(token_bytes) - 1}, and at least one")
        if int(tokens[0]) != document_token_id:
            raise ConfigError("tokens: the stream must begin with the document token")
        data = tokens.astype(_dtype_for(len(token_bytes)))
        manifest = _Manifest(
            version=_VERSION,
            split=split,
            corpus_hash=corpus_hash,
            tokenizer_hash=tokenizer_hash,
            document_token_id=document_token_id,
            dtype=data.dtype.name,
            num_tokens=len(data),
            num_bytes=int(token_bytes[tokens].sum(dtype=np.int64)),
            sha256=hashlib.sha256(data.tobytes()).hexdigest(),
            token_bytes=tuple(token_bytes.tolist()),
        )
        partial = partial_path(path)
        with clear_write_errors(path):
            partial.write_bytes(data.tobytes())
            publish(partial, path)
        write_text(_manifest_path(path), manifest.model_dump_json())
        return cls(path, manifest)

    @classmethod
    def open(cls, path: Path) -> "TokenFile":
        """A file built before; its length is checked, its content only by `build`.

        Raises CorpusError, ConfigError.
        """
        return cls(path, _read_manifest(path))

    @cached_property
    def tokens(self) -> np.ndarray:
        """Read-only memory map, uint16 or uint32 [num_tokens]."""
        return np.memmap(self.path, dtype=self._dtype, mode="r", shape=(self.num_tokens,))

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text a token of the stream stands for on average."""
        return self.num_bytes / self.num_tokens


def _dtype_for(vocab_size: int) -> np.dtype:
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def _manifest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_manifest(path: Path) -> _Manifest:
    if not _manifest_path(path).exists() or not path.exists():
        raise CorpusError(f"{path}: no token file here; TokenFile.build makes one")
    manifest = load_json(_Manifest, _manifest_path(path))
    if manifest.version != _VERSION:
        raise CorpusError(
            f"{path}: made by another version (format {manifest.version}, this one reads "
            f"{_VERSION}); build it again"
        )
    expected = manifest.num_tokens * np.dtype(manifest.dtype).itemsize
    if path.stat().st_size != expected:
        raise CorpusError(
            f"{path}: damaged: {path.stat().st_size:,} bytes instead of {expected:,}; "
            "build it again"
        )
    return manifest


def _write(
    corpus: Corpus,
    split: Split,
    tokenizer: Tokenizer,
    partial: Path,
    progress: Callable[[float], None] | None,
) -> _Manifest:
    dtype = _dtype_for(tokenizer.vocab_size)
    digest = hashlib.sha256()
    num_tokens = num_bytes = 0
    expected_bytes = corpus.split_bytes(split)
    with partial.open("wb") as file:

        def write(ids: list[int]) -> None:
            nonlocal num_tokens, num_bytes
            data = np.array(ids, dtype=dtype)
            num_tokens += len(ids)
            num_bytes += int(tokenizer.token_bytes[data].sum(dtype=np.int64))
            digest.update(data.tobytes())
            file.write(data.tobytes())

        if corpus.continuous:
            write([tokenizer.document_token_id])
        for batch in _batches(corpus.documents(split)):
            for ids in tokenizer.encode_batch(batch):
                write(ids if corpus.continuous else [tokenizer.document_token_id, *ids])
            if progress is not None:
                progress(min(num_bytes / max(expected_bytes, 1), 1.0))
    if num_bytes != expected_bytes:
        raise ConfigError(
            f"the tokenizer does not reproduce the text: {expected_bytes:,} bytes of the "
            f"{split.value} split became tokens that stand for {num_bytes:,}; "
            "train one with Tokenizer.train, or give a byte-level one that drops nothing"
        )
    if progress is not None:
        progress(1.0)
    return _Manifest(
        version=_VERSION,
        split=split,
        corpus_hash=corpus.hash,
        tokenizer_hash=tokenizer.hash,
        document_token_id=tokenizer.document_token_id,
        dtype=dtype.name,
        num_tokens=num_tokens,
        num_bytes=num_bytes,
        sha256=digest.hexdigest(),
        token_bytes=tuple(tokenizer.token_bytes.tolist()),
    )


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for text in texts:
        batch.append(text)
        held += len(text)
        if held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch

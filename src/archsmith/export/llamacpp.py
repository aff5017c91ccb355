"""Running a GGUF file with llama.cpp in this process: logits, generation, milliseconds per token.

llama.cpp aborts the whole process on some damaged files; `worker.IsolatedLlamaCpp` has the same
methods and runs them in a child. T tokens, V entries of the vocabulary.
"""

import ctypes
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np

from archsmith.errors import ConfigError, ExportError, MissingExtraError
from archsmith.export.native import Batch, KeyOverride, Library, library
from archsmith.export.quantization import GGML_TYPES

CacheType = Literal["f16", "f32"]
_GGML_F32, _GGML_F16 = 0, 1
_BATCH_TOKENS = 256  # logits are fetched in pieces: bounds their memory at 256 x V floats


class Timing(NamedTuple):
    """Milliseconds per generated token at one place of the context, over several repeats."""

    median_ms: float
    min_ms: float
    max_ms: float
    repeats: int
    context_position: int
    num_threads: int


class LlamaCpp:
    """One GGUF file, loaded. `context_tokens` is the longest window; `num_threads` is fixed.

    `cache_type` is the precision of keys and values: `f16` is llama.cpp's default and what users
    get; `f32` without flash attention is for comparing numbers. `space_prefix` overrides whether
    a SentencePiece tokenizer puts a space before every text (a byte-level one never does).
    Raises ExportError with llama.cpp's own last words if the file cannot be loaded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        context_tokens: int,
        num_threads: int = 1,
        cache_type: CacheType = "f16",
        space_prefix: bool | None = None,
    ) -> None:
        self.path = Path(path)
        self.num_threads = num_threads
        self.context_tokens = context_tokens
        self._library: Library = library()
        self._model: int | None = None
        self._context: int | None = None
        self._position = 0
        if not self.path.is_file():
            raise ConfigError(f"{self.path}: no such file")
        self._library.errors.clear()
        params = self._library.llama_model_default_params()
        params.n_gpu_layers = 0
        overrides = (KeyOverride * 2)()  # the last one is empty and ends the list
        if space_prefix is not None:
            key = b"tokenizer.ggml.add_space_prefix"
            overrides[0] = KeyOverride(tag=KeyOverride.BOOLEAN, key=key, value=space_prefix)
            params.kv_overrides = ctypes.addressof(overrides)
        self._model = self._library.llama_model_load_from_file(os.fsencode(self.path), params)
        if not self._model:
            raise self._library.failure(f"llama.cpp cannot load {self.path}")
        self._vocab = self._library.llama_model_get_vocab(self._model)
        self._cache_type = cache_type
        self._open_context()
        self.vocab_size: int = self._library.llama_vocab_n_tokens(self._vocab)
        self.max_position_embeddings: int = self._library.llama_model_n_ctx_train(self._model)
        self.num_params: int = self._library.llama_model_n_params(self._model)
        self.bos_token_id: int = self._library.llama_vocab_bos(self._vocab)
        self.eos_token_id: int = self._library.llama_vocab_eos(self._vocab)
        self.add_bos_token: bool = self._library.llama_vocab_get_add_bos(self._vocab)

    def resize(self, context_tokens: int) -> None:
        """Start afresh with another context. llama.cpp picks LongRoPE's factors by it."""
        self._library.llama_free(self._context)
        self._context = None
        self._position = 0
        self.context_tokens = context_tokens
        self._open_context()

    def _open_context(self) -> None:
        params = self._library.llama_context_default_params()
        params.n_ctx = self.context_tokens
        params.n_batch = params.n_ubatch = _BATCH_TOKENS
        params.n_threads = params.n_threads_batch = self.num_threads
        if self._cache_type == "f32":
            params.type_k = params.type_v = _GGML_F32
            params.flash_attn_type = 0
        self._context = self._library.llama_init_from_model(self._model, params)
        if not self._context:
            self.close()
            raise self._library.failure(
                f"llama.cpp cannot open a context of {self.context_tokens} tokens for {self.path}"
            )
        self._memory = self._library.llama_get_memory(self._context)

    def close(self) -> None:
        """Free the model. Twice does no harm."""
        if self._context:
            self._library.llama_free(self._context)
        if self._model:
            self._library.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_library", None) is not None:
            self.close()

    def metadata(self) -> dict[str, str]:
        """The file's scalar metadata as text; arrays are left out, as llama.cpp does."""
        found = {}
        buffer = ctypes.create_string_buffer(1 << 16)
        for index in range(self._library.llama_model_meta_count(self._model)):
            self._library.llama_model_meta_key_by_index(self._model, index, buffer, len(buffer))
            key = buffer.value.decode(errors="replace")
            self._library.llama_model_meta_val_str_by_index(self._model, index, buffer, len(buffer))
            found[key] = buffer.value.decode(errors="replace")
        return found

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Token ids of `text`.

        Args:
            add_special: put the document token in front where the file says so.
            parse_special: read control tokens written in the text as those tokens.
        """
        data = text.encode()
        size = len(data) + 2
        ids = (ctypes.c_int32 * size)()
        count = self._library.llama_tokenize(
            self._vocab, data, len(data), ids, size, add_special, parse_special
        )
        if count < 0:
            raise self._library.failure(f"llama.cpp cannot tokenize {text[:40]!r}")
        return list(ids[:count])

    def token_pieces(self) -> list[bytes]:
        """The bytes each token stands for; empty for control tokens. [V]"""
        buffer = ctypes.create_string_buffer(1 << 12)
        pieces = []
        for token in range(self.vocab_size):
            size = self._library.llama_token_to_piece(
                self._vocab, token, buffer, len(buffer), 0, False
            )
            if size < 0:
                raise ExportError(f"token {token} of {self.path} is longer than 4096 bytes")
            pieces.append(buffer.raw[:size])
        return pieces

    def logits(self, tokens: Sequence[int], *, last: int | None = None) -> np.ndarray:
        """Logits after every token of a window that starts afresh, float32 [T, V].

        Args:
            last: only those after so many tokens at the end.
        """
        first = 0 if last is None else len(tokens) - last
        return np.concatenate(list(self._run(tokens, first_wanted=first)))

    def token_nats(self, tokens: Sequence[int], num_scored: int) -> np.ndarray:
        """-log p of the last `num_scored` tokens, each given all before it, float64 [num_scored].

        The first token of a window has nothing before it: `num_scored` < T.
        """
        first = len(tokens) - num_scored
        if not 0 < first <= len(tokens):
            raise ConfigError(
                f"num_scored must be below the window's {len(tokens)} tokens, got {num_scored}"
            )
        nats, position = [], first
        # logits at position p predict token p + 1; the last token's own are not needed
        for piece in self._run(tokens[:-1], first_wanted=first - 1):
            targets = np.asarray(tokens[position : position + len(piece)])
            nats.append(-log_softmax(piece)[np.arange(len(piece)), targets])
            position += len(piece)
        return np.concatenate(nats)

    def _run(self, tokens: Sequence[int], *, first_wanted: int) -> Iterator[np.ndarray]:
        self.reset()
        for start in range(0, len(tokens), _BATCH_TOKENS):
            piece = tokens[start : start + _BATCH_TOKENS]
            skipped = min(max(first_wanted - start, 0), len(piece))
            found = self.decode(piece, wanted=len(piece) - skipped)
            if skipped < len(piece):
                yield found

    def reset(self) -> None:
        """Forget all tokens decoded so far."""
        self._library.llama_memory_clear(self._memory, True)
        self._position = 0

    def decode(self, tokens: Sequence[int], *, wanted: int = 1) -> np.ndarray:
        """Append up to 256 tokens to the context; logits after the last `wanted`, [wanted, V].

        Raises ExportError if the context is full.
        """
        ids = np.ascontiguousarray(tokens, dtype=np.int32)
        assert len(ids) <= _BATCH_TOKENS, "a batch holds no more"
        if ids.size == 0 or ids.min() < 0 or ids.max() >= self.vocab_size:
            raise ConfigError(
                f"token ids must lie in [0, {self.vocab_size}), got {ids.tolist()[:8]}"
            )
        if self._position + len(ids) > self.context_tokens:
            # llama.cpp would abort on a batch longer than its context
            raise ExportError(
                f"{self._position + len(ids)} tokens are longer than the context of "
                f"{self.context_tokens}"
            )
        flags = np.zeros(len(ids), dtype=np.int8)
        flags[len(ids) - wanted :] = 1
        batch = Batch(
            n_tokens=len(ids),
            token=ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            logits=flags.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        code = self._library.llama_decode(self._context, batch)
        if code != 0:
            raise self._library.failure(f"llama.cpp failed to decode (code {code})")
        self._position += len(ids)
        if wanted == 0:
            return np.empty((0, self.vocab_size), dtype=np.float32)
        pointer = self._library.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(wanted, self.vocab_size)).copy()

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 0,
        stop_at_end: bool = True,
    ) -> list[int]:
        """Tokens that continue `tokens`; greedy at temperature 0. Ends at the end-of-text token."""
        rng = np.random.default_rng(seed)
        room = self.context_tokens - len(tokens)
        made: list[int] = []
        last = [piece[-1] for piece in self._run(tokens, first_wanted=len(tokens) - 1)][-1]
        for _ in range(min(max_new_tokens, room)):
            token = choose(last, temperature=temperature, top_k=top_k, rng=rng)
            if stop_at_end and self._library.llama_vocab_is_eog(self._vocab, token):
                break
            made.append(token)
            if len(made) < min(max_new_tokens, room):
                last = self.decode([token])[0]
        return made

    def decode_ms_per_token(
        self, *, context_position: int = 0, repeats: int = 16, warmup: int = 2
    ) -> Timing:
        """Time of one token with `context_position` tokens before it; each repeat at that place."""
        self.fill(context_position)
        for _ in range(warmup):
            self.time_token(context_position)
        times = [self.time_token(context_position) for _ in range(repeats)]
        return timing(times, context_position=context_position, num_threads=self.num_threads)

    def fill(self, num_tokens: int) -> None:
        """Start afresh with `num_tokens` tokens in the context."""
        self.reset()
        ids = (np.arange(1, num_tokens + 1) % self.vocab_size).tolist()
        for start in range(0, num_tokens, _BATCH_TOKENS):
            self.decode(ids[start : start + _BATCH_TOKENS], wanted=0)

    def time_token(self, position: int) -> float:
        """Milliseconds to decode one token at `position`, which is then taken back."""
        started = time.perf_counter()
        self.decode([position % self.vocab_size])
        elapsed = 1e3 * (time.perf_counter() - started)
        self._library.llama_memory_seq_rm(self._memory, 0, position, -1)
        self._position = position
        return elapsed


def timing(times_ms: Sequence[float], *, context_position: int, num_threads: int) -> Timing:
    """The figures of several `time_token` readings."""
    return Timing(
        median_ms=float(np.median(times_ms)),
        min_ms=min(times_ms),
        max_ms=max(times_ms),
        repeats=len(times_ms),
        context_position=context_position,
        num_threads=num_threads,
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural logarithm of the softmax over the last axis, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def choose(
    logits: np.ndarray, *, temperature: float, top_k: int | None, rng: np.random.Generator
) -> int:
    """A token id drawn from logits [V]; the largest at temperature 0."""
    if temperature <= 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / temperature
    if top_k is not None and top_k < len(scaled):
        floor = np.partition(scaled, -top_k)[-top_k]
        scaled = np.where(scaled >= floor, scaled, -np.inf)
    probabilities = np.exp(log_softmax(scaled))
    return int(rng.choice(len(scaled), p=probabilities / probabilities.sum()))


def quantize(ggml_type: str, rows: np.ndarray) -> np.ndarray:
    """Rows float32 [..., W] in a GGML type, as bytes uint8 [R, bytes per row], R rows in all.

    llama.cpp's own `ggml_quantize_chunk` for blocks; F32, F16 and BF16 in numpy.
    """
    rows = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, rows.shape[-1])
    if ggml_type == "F32":
        return rows.view(np.uint8)
    if ggml_type == "F16":
        return rows.astype(np.float16).view(np.uint8)
    kind = GGML_TYPES[ggml_type]
    num_rows, width = rows.shape
    if width % kind.block_size:
        raise ExportError(f"{ggml_type} needs rows of a multiple of {kind.block_size}, got {width}")
    out = np.empty((num_rows, kind.row_bytes(width)), dtype=np.uint8)
    written = library().ggml_quantize_chunk(
        kind.id, rows.ctypes.data, out.ctypes.data, 0, num_rows, width, None
    )
    if written != out.nbytes:
        raise ExportError(f"llama.cpp wrote {written} bytes of {ggml_type}, expected {out.nbytes}")
    return out


def dequantize(ggml_type: str, data: np.ndarray) -> np.ndarray:
    """The float32 rows [R, W] that bytes uint8 [R, bytes per row] of a GGML type stand for."""
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize as from_blocks
    except ImportError:
        raise MissingExtraError("reading quantized tensors", "export") from None
    return from_blocks(data, GGMLQuantizationType[ggml_type])

"""Bits per byte of a written model through the runtime that users run it in.

A GGUF file is read by llama.cpp in a child process with its defaults (half-precision cache),
a folder by stock transformers in float32. Both may come from elsewhere: each is scored with its own
tokenizer, and bits per byte compare across tokenizers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.config import content_hash
from archsmith.data.protocol import Score, ScoringProtocol, Window, plan, score
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.errors import ConfigError, ExportError, MissingExtraError
from archsmith.export.llamacpp import CacheType
from archsmith.export.worker import IsolatedLlamaCpp

TokenFileFor = Callable[[Tokenizer], TokenFile]


def score_path(
    path: Path,
    token_file_for: TokenFileFor,
    protocol: ScoringProtocol,
    *,
    num_threads: int = 1,
    cache_type: CacheType = "f16",
) -> Score:
    """The score of a GGUF file or a transformers folder.

    Args:
        token_file_for: gives the split encoded with the model's own tokenizer, which it is handed.
        cache_type: precision of llama.cpp's keys and values; `f16` is what users get.
    Raises ConfigError for a path that is neither, ExportError if the model cannot be run.
    """
    path = Path(path)
    if path.is_dir():
        return score_huggingface(path, token_file_for, protocol)
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder")
    return score_gguf(
        path, token_file_for, protocol, num_threads=num_threads, cache_type=cache_type
    )


def score_gguf(
    path: Path,
    token_file_for: TokenFileFor,
    protocol: ScoringProtocol,
    *,
    num_threads: int = 1,
    cache_type: CacheType = "f16",
) -> Score:
    """The score of a GGUF file in llama.cpp."""
    with IsolatedLlamaCpp(
        path,
        context_tokens=protocol.context_bytes,  # a token stands for a byte at least
        num_threads=num_threads,
        cache_type=cache_type,
        space_prefix=False,  # the text has none, and every byte counts once
    ) as model:
        token_file = token_file_for(LlamaCppTokenizer(model))
        _check_ids(token_file, model.vocab_size, path)
        longest = min(model.max_position_embeddings, protocol.context_bytes)
        # no longer than the windows: LongRoPE's factors follow the context, not the text
        model.resize(plan(token_file, protocol, max_position_embeddings=longest).context_tokens)

        def nats_of(window: Window) -> np.ndarray:
            return model.token_nats(window.tokens.tolist(), window.num_scored)

        return score(
            token_file,
            protocol,
            max_position_embeddings=longest,
            nats_of=nats_of,
        )


def score_huggingface(path: Path, token_file_for: TokenFileFor, protocol: ScoringProtocol) -> Score:
    """The score of a transformers folder in float32. No remote code is run."""
    try:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError:
        raise MissingExtraError("scoring a transformers folder", "export") from None
    if not (path / "config.json").is_file():
        raise ConfigError(f"{path}: holds no config.json, so it is no transformers model")
    if not (path / "tokenizer.json").is_file():
        raise ConfigError(f"{path}: holds no tokenizer.json; a byte-level BPE is needed")
    token_file = token_file_for(Tokenizer.from_file(path / "tokenizer.json"))
    logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ExportError(f"transformers cannot load {path}: {error}") from None
    model.eval()
    config = model.config.get_text_config()
    _check_ids(token_file, config.vocab_size, path)

    def nats_of(window: Window) -> np.ndarray:
        ids = torch.from_numpy(window.tokens)
        with torch.no_grad():
            logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0]
            scored = logits[len(ids) - 1 - window.num_scored :].double()
            targets = ids[len(ids) - window.num_scored :]
            return torch.nn.functional.cross_entropy(scored, targets, reduction="none").numpy()

    longest = getattr(config, "max_position_embeddings", None) or protocol.context_bytes
    return score(token_file, protocol, max_position_embeddings=longest, nats_of=nats_of)


def _check_ids(token_file: TokenFile, vocab_size: int, path: Path) -> None:
    if len(token_file.token_bytes) > vocab_size:
        raise ConfigError(
            f"{path}: the model knows {vocab_size} tokens, the token file was made with "
            f"{len(token_file.token_bytes)}; encode the split with the model's own tokenizer"
        )


class LlamaCppTokenizer(Tokenizer):
    """A GGUF file's tokenizer as llama.cpp runs it, to encode text for that file's score.

    Its document token is the file's begin-of-text token, or else its end-of-text token.
    """

    def __init__(self, model: IsolatedLlamaCpp) -> None:
        self._model = model
        self._pieces = model.token_pieces()
        known = [i for i in (model.bos_token_id, model.eos_token_id) if i >= 0]
        if not known:
            raise ConfigError(f"{model.path}: declares no begin-of-text or end-of-text token")
        self.document_token_id = known[0]
        self.document_token = f"<token {known[0]}>"
        self._metadata = model.metadata()
        self.pre_tokenizer = self._metadata.get("tokenizer.ggml.pre", "unknown")

    @property
    def vocab_size(self) -> int:
        """Number of entries."""
        return len(self._pieces)

    @property
    def hash(self) -> str:
        """Of entries and of what the file says of its tokenizer."""
        said = {k: v for k, v in self._metadata.items() if k.startswith("tokenizer.")}
        return content_hash({**said, "pieces": [piece.hex() for piece in self._pieces]})

    @property
    def token_bytes(self) -> np.ndarray:
        """int32 [V]: bytes of text each token stands for."""
        return np.array([len(piece) for piece in self._pieces], dtype=np.int32)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; control tokens in it are text."""
        return self._model.tokenize(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each."""
        return [self.encode(text) for text in texts]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes of `ids`."""
        return b"".join(self._pieces[index] for index in ids)

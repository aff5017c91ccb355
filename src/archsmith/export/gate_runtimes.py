"""Logits of written files in the runtimes that users run them in, for the gate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archsmith.errors import ArchsmithError, GateError, MissingExtraError
from archsmith.export.carriers import HuggingFaceForm
from archsmith.export.gate_windows import Window
from archsmith.export.llamacpp import CacheType
from archsmith.export.worker import IsolatedLlamaCpp


def gguf_logits(
    path: Path,
    groups: Sequence[Sequence[Window]],
    *,
    num_threads: int,
    cache_type: CacheType,
) -> list[np.ndarray]:
    """llama.cpp's logits, float32 [judged tokens, V] per window; a context for each group."""
    found = []
    for windows in groups:
        longest = max(len(window.tokens) for window in windows)
        try:
            with IsolatedLlamaCpp(
                path, context_tokens=longest, num_threads=num_threads, cache_type=cache_type
            ) as model:
                found += [model.logits(w.tokens, last=w.num_judged) for w in windows]
        except GateError:
            raise
        except ArchsmithError as error:
            raise GateError(str(error)) from None
    return found


class Transformers:
    """The folder as the stock class reads it."""

    def __init__(self, folder: Path, form: HuggingFaceForm) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        except ImportError:
            raise MissingExtraError("checking an export", "export") from None
        self._torch = torch
        logging.disable_progress_bar()
        try:
            self._model, loading = AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            raise GateError(f"transformers cannot load {folder}: {error}") from None
        found = type(self._model).__name__
        if found != form.transformers_class:
            raise GateError(f"{folder} loads as {found}, expected {form.transformers_class}")
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if names := sorted(str(name) for name in loading[what]):
                raise GateError(f"transformers reports {what.replace('_', ' ')}: {names[0]}")
        self._model.eval()

    def logits(self, window: Window) -> np.ndarray:
        """float32 [judged tokens, V]."""
        with self._torch.no_grad():
            ids = self._torch.tensor([list(window.tokens)])
            found = self._model(input_ids=ids, use_cache=False, logits_to_keep=window.num_judged)
            return found.logits[0].float().numpy()

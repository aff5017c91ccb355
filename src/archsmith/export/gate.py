"""The gate: nothing is handed over before the stock runtimes agree with what was trained.

Three questions, each with an answer that names the culprit. Do ours, transformers' and llama.cpp's
tokenizers give the same ids? Does every written tensor hold what was to be written? Do transformers
and llama.cpp compute the same in float32, and what does the model's own forward pass say? The
quantized file's distance is then stated, as Kullback-Leibler divergence in nats and as agreement on
the likeliest token; it has no tolerance, since quantization is meant to change numbers.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.errors import ArchsmithError, GateError, MissingExtraError
from archsmith.export.carriers import Carrier, carrier_of
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.gate_tensors import (
    check_gguf_tensors,
    check_huggingface_tensors,
    file_quantization,
    open_gguf,
)
from archsmith.export.gate_tokens import STRESS_TEXTS, check_tokens
from archsmith.export.llamacpp import log_softmax
from archsmith.export.roundtrip import requantized
from archsmith.export.worker import IsolatedLlamaCpp

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer

KL_TOLERANCE = 1e-6
# llama.cpp takes GELU from a table of half-precision values: not exact, whatever is written
GELU_KL_TOLERANCE = 1e-5
_WINDOW_TOKENS = 96
_LONGEST_WINDOW = 1024

Logits = Callable[[Sequence[int]], np.ndarray]


class FileReport(Spec):
    """One GGUF file beside the float32 model: mean divergence, and agreement of the top token."""

    name: str
    quantization: str
    num_bytes: int
    kl_nats: float
    top1_agreement: float


class GateReport(Spec):
    """What was compared and how near it was. Divergences are means over `num_tokens`, in nats.

    Attributes:
        runtime_kl_nats: llama.cpp in float32 from transformers.
        reference_kl_nats: transformers from the model's own forward pass, where that was given.
        files: each GGUF file as it is deployed.
    """

    carrier: str
    transformers_class: str
    num_texts: int
    num_tensors: int
    num_tokens: int
    runtime_kl_nats: float
    runtime_max_difference: float
    reference_kl_nats: float | None
    reference_max_difference: float | None
    files: tuple[FileReport, ...]


class _Distance(NamedTuple):
    kl_nats: float
    max_difference: float
    top1_agreement: float
    worst_token: int


def check_export(
    *,
    architecture: Architecture,
    weights: Mapping[str, np.ndarray],
    tokenizer: "Tokenizer",
    huggingface: Path,
    gguf: Sequence[Path],
    tokens: Sequence[int] | None = None,
    reference: Logits | None = None,
    seed: int = 0,
    num_threads: int = 1,
) -> GateReport:
    """Reload written files with stock tools and compare.

    Args:
        weights: canonical weights that were to be written.
        huggingface: the folder, in float32.
        gguf: files of any quantization of this network.
        tokens: real text to compare on, beside random tokens.
        reference: logits [T, V] of the model itself for a window of token ids.
        seed: of the random tokens.
    Raises GateError naming the token, the tensor or the tensor's absence that is to blame.
    """
    carrier = carrier_of(architecture)
    folder, files = Path(huggingface), [Path(path) for path in gguf]
    check_huggingface_tensors(folder, architecture, weights)
    count = sum(check_gguf_tensors(path, architecture, weights) for path in files)
    windows = _windows(architecture, tokens, seed=seed)
    stock = _Transformers(folder, carrier)
    expected = [stock.logits(window) for window in windows]
    with tempfile.TemporaryDirectory() as name:
        exact = Path(name) / "exact.gguf"
        GGUF.write(
            exact,
            weights=weights,
            architecture=requantized(architecture, "F32"),
            tokenizer=tokenizer,
            metadata={},
        )
        found = _gguf_logits(exact, windows, num_threads=num_threads, cache_type="f32")
    runtime = distance(expected, found)
    gelu = architecture.layers[0].feed_forward.activation == "gelu_tanh"
    tolerance = GELU_KL_TOLERANCE if gelu else KL_TOLERANCE
    _judge(runtime, tolerance, f"llama.cpp ({carrier.gguf_architecture})", "transformers", windows)
    own = None
    if reference is not None:
        own = distance([reference(window) for window in windows], expected)
        _judge(own, KL_TOLERANCE, "transformers", "the trained model", windows)
    for path in files:
        check_tokens(tokenizer, folder, path)
    return GateReport(
        carrier=carrier.name,
        transformers_class=carrier.transformers_class,
        num_texts=len(STRESS_TEXTS),
        num_tensors=count,
        num_tokens=sum(len(window) for window in windows),
        runtime_kl_nats=runtime.kl_nats,
        runtime_max_difference=runtime.max_difference,
        reference_kl_nats=None if own is None else own.kl_nats,
        reference_max_difference=None if own is None else own.max_difference,
        files=tuple(_file_report(path, windows, expected, num_threads) for path in files),
    )


def distance(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> _Distance:
    """How far `found` logits are from `expected`, both a list of [T, V]."""
    first, second = np.concatenate(list(expected)), np.concatenate(list(found))
    if first.shape != second.shape:
        raise GateError(f"logits have shape {second.shape}, expected {first.shape}")
    if not np.isfinite(second).all():
        raise GateError("logits are not finite")
    p, q = log_softmax(first), log_softmax(second)
    kl = (np.exp(p) * (p - q)).sum(axis=-1)
    agree = first.argmax(axis=-1) == second.argmax(axis=-1)
    return _Distance(
        kl_nats=float(max(kl.mean(), 0.0)),  # rounding can take an exact match below 0
        max_difference=float(np.abs(first - second).max()),
        top1_agreement=float(agree.mean()),
        worst_token=int(kl.argmax()),
    )


def _judge(
    found: _Distance,
    tolerance: float,
    what: str,
    beside: str,
    windows: Sequence[Sequence[int]],
) -> None:
    if found.kl_nats <= tolerance:
        return
    place = found.worst_token
    for index, window in enumerate(windows):
        if place < len(window):
            where = f"token {place} of window {index}"
            break
        place -= len(window)
    raise GateError(
        f"{what} computes something else than {beside}: KL {found.kl_nats:.2e} nats per token "
        f"(tolerance {tolerance:.0e}), worst at {where}, although every tensor holds what was "
        "written: a setting in config.json or a GGUF key differs (rotary order, activation, norm)"
    )


def _windows(
    architecture: Architecture, tokens: Sequence[int] | None, *, seed: int
) -> list[list[int]]:
    """A window of random tokens and one of real ones, longer than any attention window."""
    spans = [getattr(layer.mixer, "sliding_window", None) or 0 for layer in architecture.layers]
    wanted = min(max(_WINDOW_TOKENS, max(spans) + 32), _LONGEST_WINDOW)
    length = min(wanted, architecture.max_position_embeddings)
    rng = np.random.default_rng(seed)
    windows = [rng.integers(0, architecture.vocab_size, length).tolist()]
    if tokens is not None and len(tokens):
        windows.append(np.asarray(tokens)[:length].tolist())
    return windows


def _gguf_logits(
    path: Path, windows: Sequence[Sequence[int]], *, num_threads: int, cache_type: Any
) -> list[np.ndarray]:
    longest = max(len(window) for window in windows)
    try:
        with IsolatedLlamaCpp(
            path, context_tokens=longest, num_threads=num_threads, cache_type=cache_type
        ) as model:
            return [model.logits(window) for window in windows]
    except GateError:
        raise
    except ArchsmithError as error:
        raise GateError(str(error)) from None


def _file_report(
    path: Path,
    windows: Sequence[Sequence[int]],
    expected: Sequence[np.ndarray],
    num_threads: int,
) -> FileReport:
    found = distance(
        expected, _gguf_logits(path, windows, num_threads=num_threads, cache_type="f16")
    )
    return FileReport(
        name=path.name,
        quantization=file_quantization(open_gguf(path), path),
        num_bytes=path.stat().st_size,
        kl_nats=found.kl_nats,
        top1_agreement=found.top1_agreement,
    )


class _Transformers:
    """The folder as the stock class reads it."""

    def __init__(self, folder: Path, carrier: Carrier) -> None:
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
        except (OSError, ValueError, RuntimeError) as error:
            raise GateError(f"transformers cannot load {folder}: {error}") from None
        found = type(self._model).__name__
        if found != carrier.transformers_class:
            raise GateError(f"{folder} loads as {found}, expected {carrier.transformers_class}")
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if names := sorted(str(name) for name in loading[what]):
                raise GateError(f"transformers reports {what.replace('_', ' ')}: {names[0]}")
        self._model.eval()

    def logits(self, window: Sequence[int]) -> np.ndarray:
        """float32 [T, V]."""
        with self._torch.no_grad():
            ids = self._torch.tensor([list(window)])
            return self._model(input_ids=ids, use_cache=False).logits[0].float().numpy()

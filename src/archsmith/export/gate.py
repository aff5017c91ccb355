"""The gate: nothing is handed over before the stock runtimes agree with what was trained.

Three questions, each with an answer that names the culprit. Do ours, transformers' and llama.cpp's
tokenizers give the same ids? Does every written tensor hold what was to be written? Do transformers
and llama.cpp compute the same in float32, and what does the model's own forward pass say? The
quantized file's distance is then stated, as Kullback-Leibler divergence in nats and as agreement on
the likeliest token; it has no tolerance, since quantization is meant to change numbers.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.errors import ArchsmithError, GateError, MissingExtraError
from archsmith.export.carriers import Carrier, carrier_of, gguf_plan, huggingface_plan
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.formats.huggingface import STORED, Dtype, tensor_bytes
from archsmith.export.layout import StoredTensor, stored_tensor
from archsmith.export.llamacpp import log_softmax, quantize
from archsmith.export.quantization import FILE_TYPES
from archsmith.export.roundtrip import requantized
from archsmith.export.worker import IsolatedLlamaCpp

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer

STRESS_TEXTS = (
    "Plain words, and some more of them.",
    "   leading and trailing   ",
    "tabs\tand\n\nnew lines\r\n and     runs of spaces",
    "def f(x):\n    return {x: [1, 22, 333, 4444, 12345678]}  # code",
    "I'll don't WE'VE they're It'S",
    "emoji 🙂🏳️‍🌈👩‍👩‍👧 and combining e\u0301 a\u0308",
    "Ελληνικά, кириллица, 日本語のテキスト, العربية, हिन्दी, ไทย",
    "<|endoftext|> in the text, and <|endoftext",
    "\u00a0no-break\u2003em space\u200bzero width\ufeff",
    "!?...---===((([[[{{{`~@#$%^&*+|\\/",
    "",
)
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
        quantization=_quantization(_open_gguf(path), path),
        num_bytes=path.stat().st_size,
        kl_nats=found.kl_nats,
        top1_agreement=found.top1_agreement,
    )


def check_tokens(tokenizer: "Tokenizer", huggingface: Path, gguf: Path) -> None:
    """Ours, transformers' and llama.cpp's ids are equal on texts chosen to break tokenizers.

    Compared as text without control tokens, and as users meet it: with the document token in front
    and control tokens in the text read as such. Raises GateError naming the text and the token.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("checking an export", "export") from None
    stock = AutoTokenizer.from_pretrained(str(huggingface), local_files_only=True)
    try:
        model = IsolatedLlamaCpp(gguf, context_tokens=256)
    except ArchsmithError as error:
        raise GateError(str(error)) from None
    with model:
        if model.eos_token_id != tokenizer.document_token_id:
            raise GateError(
                f"{gguf.name}: the end-of-text token is {model.eos_token_id}, "
                f"expected {tokenizer.document_token_id}"
            )
        for text in STRESS_TEXTS:
            own = tokenizer.encode(text)
            plain = stock(text, add_special_tokens=False, split_special_tokens=True).input_ids
            _same_tokens(text, own, list(plain), tokenizer, "transformers")
            _same_tokens(text, own, model.tokenize(text), tokenizer, f"llama.cpp ({gguf.name})")
            users = list(stock(text).input_ids)
            theirs = model.tokenize(text, add_special=True, parse_special=True)
            _same_tokens(text, users, theirs, tokenizer, "llama.cpp with control tokens")
            if users[:1] != [tokenizer.document_token_id]:
                raise GateError("transformers puts no document token in front of a text")


def _same_tokens(
    text: str, expected: Sequence[int], found: Sequence[int], tokenizer: "Tokenizer", who: str
) -> None:
    if list(expected) == list(found):
        return
    place = next(
        (i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]),
        min(len(expected), len(found)),
    )
    entries = tokenizer.tokens()

    def shown(ids: Sequence[int]) -> str:
        named = [repr(entries[i]) if i < len(entries) else str(i) for i in ids[place : place + 3]]
        return " ".join(named) or "nothing"

    raise GateError(
        f"{who} reads {text!r} as other tokens: at token {place} {shown(found)}, "
        f"expected {shown(expected)}"
    )


def check_huggingface_tensors(
    folder: Path, architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> int:
    """Every tensor of `model.safetensors` equals the weights, to the file's precision.

    Returns their number. Raises GateError naming the tensor.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise GateError(f"{path} is missing")
    plans = {plan.name: plan for plan in huggingface_plan(architecture)}
    data = np.memmap(path, dtype=np.uint8, mode="r")
    try:
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8:start].tobytes())
    except ValueError as error:
        raise GateError(f"{path.name} is damaged or cut short: {error}") from None
    header.pop("__metadata__", None)
    _same_names(set(plans), set(header), path.name)
    names: dict[str, Dtype] = {code: name for name, (code, _) in STORED.items()}
    for name, plan in plans.items():
        entry = header[name]
        first, last = (start + offset for offset in entry["data_offsets"])
        expected = tensor_bytes(plan.assemble(weights), names[entry["dtype"]])
        if tuple(entry["shape"]) != plan.shape or data[first:last].tobytes() != expected:
            raise GateError(f"{path.name}: tensor '{name}' is not what was to be written")
    return len(plans)


def check_gguf_tensors(
    path: Path, architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> int:
    """Every tensor of a GGUF file holds the bytes that quantizing the weights gives.

    Returns their number. Raises GateError naming the tensor.
    """
    reader = _open_gguf(path)
    architecture = requantized(architecture, _quantization(reader, path))
    stored = {tensor.name: tensor for tensor in reader.tensors}
    plans = gguf_plan(architecture)
    _same_names({plan.name for plan in plans}, set(stored), path.name)
    for plan in plans:
        found, kind = stored[plan.name], stored_tensor(architecture, plan)
        if found.tensor_type.name != kind.ggml_type:
            raise GateError(
                f"{path.name}: tensor '{plan.name}' is stored as {found.tensor_type.name}, "
                f"expected {kind.ggml_type}"
            )
        expected = _as_stored(plan.assemble(weights), kind)
        if not np.array_equal(np.asarray(found.data).reshape(-1).view(np.uint8), expected):
            raise GateError(f"{path.name}: tensor '{plan.name}' is not what was to be written")
    return len(plans)


def _as_stored(data: np.ndarray, kind: StoredTensor) -> np.ndarray:
    if data.ndim == 1:
        return data.view(np.uint8)
    return quantize(kind.ggml_type, data).reshape(-1)


def _same_names(expected: set[str], found: set[str], file_name: str) -> None:
    if missing := sorted(expected - found):
        raise GateError(f"{file_name}: tensor '{missing[0]}' is missing")
    if extra := sorted(found - expected):
        raise GateError(f"{file_name}: tensor '{extra[0]}' does not belong to the architecture")


def _open_gguf(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingExtraError("reading GGUF files", "export") from None
    try:
        return GGUFReader(path)
    except FileNotFoundError:
        raise GateError(f"{path} is missing") from None
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise GateError(f"{path.name} is damaged or cut short: {error}") from None


def _quantization(reader: Any, path: Path) -> str:
    field = reader.get_field("general.file_type")
    number = None if field is None else field.contents()
    for name, (_, file_type) in FILE_TYPES.items():
        if file_type == number:
            return name
    raise GateError(f"{path.name}: general.file_type {number} is none that archsmith writes")


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

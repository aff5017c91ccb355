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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.config import Spec
from archsmith.errors import GateError
from archsmith.export.carriers import TARGETS, Carrier, carrier_of, find_carrier
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.gate_runtimes import Transformers, gguf_logits
from archsmith.export.gate_tensors import (
    check_gguf_tensors,
    check_huggingface_tensors,
    file_quantization,
    open_gguf,
)
from archsmith.export.gate_tokens import STRESS_TEXTS, check_tokens
from archsmith.export.gate_windows import Window, window_groups
from archsmith.export.llamacpp import log_softmax
from archsmith.export.roundtrip import requantized

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer

KL_TOLERANCE = 1e-6
# llama.cpp takes GELU from a table of half-precision values: not exact, whatever is written
GELU_KL_TOLERANCE = 1e-5

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
        runtime_kl_nats: llama.cpp in float32 from transformers, where llama.cpp can hold it.
        reference_kl_nats: transformers from the model's own forward pass, where that was given.
        files: each GGUF file as it is deployed.
        limits: what users of the files must keep to.
    """

    carrier: str
    transformers_class: str
    num_texts: int
    num_tensors: int
    num_tokens: int
    runtime_kl_nats: float | None
    runtime_max_difference: float | None
    reference_kl_nats: float | None
    reference_max_difference: float | None
    files: tuple[FileReport, ...]
    limits: tuple[str, ...] = ()


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
        gguf: files of any quantization of this network; none where llama.cpp cannot hold it.
        tokens: real text to compare on, beside random tokens.
        reference: logits [T, V] of the model itself for a window of token ids.
        seed: of the random tokens.
    Raises GateError naming the token, the tensor or the tensor's absence that is to blame.
    """
    folder, files = Path(huggingface), [Path(path) for path in gguf]
    carrier = find_carrier(architecture)
    if carrier is None:  # then one target has none, and its files are not made
        carrier = carrier_of(architecture, TARGETS if files else ("huggingface",))
    assert carrier.huggingface is not None, "a carrier of a target has its form"
    check_huggingface_tensors(folder, architecture, weights)
    count = sum(check_gguf_tensors(path, architecture, weights) for path in files)
    stock = Transformers(folder, carrier.huggingface)
    with tempfile.TemporaryDirectory() as name:
        exact = None
        if carrier.gguf is not None:
            exact = Path(name) / "exact.gguf"
            GGUF.write(
                exact,
                weights=weights,
                architecture=requantized(architecture, "F32"),
                tokenizer=tokenizer,
                metadata={},
            )
        compare = _Comparison(architecture, carrier, stock, exact, reference, num_threads)
        found = compare.on_some_windows(tokens, seed=seed)
    for path in files:
        check_tokens(tokenizer, folder, path)
    return GateReport(
        carrier=carrier.name,
        transformers_class=carrier.huggingface.transformers_class,
        num_texts=len(STRESS_TEXTS),
        num_tensors=count,
        num_tokens=sum(len(logits) for logits in found.expected),
        runtime_kl_nats=None if found.runtime is None else found.runtime.kl_nats,
        runtime_max_difference=None if found.runtime is None else found.runtime.max_difference,
        reference_kl_nats=None if found.own is None else found.own.kl_nats,
        reference_max_difference=None if found.own is None else found.own.max_difference,
        files=tuple(
            _file_report(path, found.groups, found.expected, num_threads) for path in files
        ),
        limits=tuple(carrier.limits(architecture)),
    )


class _Compared(NamedTuple):
    groups: list[list[Window]]
    expected: list[np.ndarray]
    runtime: _Distance | None
    own: _Distance | None


class _Comparison(NamedTuple):
    """What the gate's third question is asked of."""

    architecture: Architecture
    carrier: Carrier
    stock: Transformers
    exact: Path | None
    reference: Logits | None
    num_threads: int

    def on_some_windows(self, tokens: Sequence[int] | None, *, seed: int) -> _Compared:
        """`on` windows of which not all need to pass where a router decides.

        Where two experts are chosen by logits that differ by less than float32 rounding, runtimes
        may choose differently, and everything behind that token differs: a few in a million
        choices. A wrong setting shows in any window, so with experts a second and a third set of
        random tokens may be tried.
        """
        blocks = (layer.feed_forward for layer in self.architecture.layers)
        tries = 3 if any(block.type == "mixture_of_experts" for block in blocks) else 1
        for last in range(tries - 1):
            try:
                return self.on(
                    window_groups(self.architecture, self.carrier, tokens, seed=seed + last)
                )
            except GateError:
                tokens = None
        return self.on(
            window_groups(self.architecture, self.carrier, tokens, seed=seed + tries - 1)
        )

    def on(self, groups: list[list[Window]]) -> _Compared:
        """Compare. Raises GateError where runtimes differ."""
        windows = [window for group in groups for window in group]
        expected = [self.stock.logits(window) for window in windows]
        runtime = own = None
        if self.exact is not None:
            assert self.carrier.gguf is not None, "its file was written"
            found = gguf_logits(self.exact, groups, num_threads=self.num_threads, cache_type="f32")
            runtime = distance(expected, found)
            gelu = self.architecture.layers[0].feed_forward.activation == "gelu_tanh"
            tolerance = GELU_KL_TOLERANCE if gelu else KL_TOLERANCE
            what = f"llama.cpp ({self.carrier.gguf.architecture})"
            _judge(runtime, tolerance, what, "transformers", windows)
        if self.reference is not None:
            own_logits = [self.reference(w.tokens)[-w.num_judged :] for w in windows]
            own = distance(own_logits, expected)
            _judge(own, KL_TOLERANCE, "transformers", "the trained model", windows)
        return _Compared(groups, expected, runtime, own)


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
    found: _Distance, tolerance: float, what: str, beside: str, windows: Sequence[Window]
) -> None:
    if found.kl_nats <= tolerance:
        return
    place = found.worst_token
    where = ""
    for index, window in enumerate(windows):
        if place < window.num_judged:
            token = len(window.tokens) - window.num_judged + place
            where = f"token {token} of window {index}"
            break
        place -= window.num_judged
    raise GateError(
        f"{what} computes something else than {beside}: KL {found.kl_nats:.2e} nats per token "
        f"(tolerance {tolerance:.0e}), worst at {where}, although every tensor holds what was "
        "written: a setting in config.json or a GGUF key differs (rotary order, activation, norm)"
    )


def _file_report(
    path: Path,
    groups: Sequence[Sequence[Window]],
    expected: Sequence[np.ndarray],
    num_threads: int,
) -> FileReport:
    found = distance(expected, gguf_logits(path, groups, num_threads=num_threads, cache_type="f16"))
    return FileReport(
        name=path.name,
        quantization=file_quantization(open_gguf(path), path),
        num_bytes=path.stat().st_size,
        kl_nats=found.kl_nats,
        top1_agreement=found.top1_agreement,
    )

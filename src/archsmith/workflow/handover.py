"""Hand a finished model over: write both formats, prove them in the stock runtimes, score the file.

What is reported of a model is measured here, on the file that is deployed: bits per byte through
llama.cpp, bytes on disk, milliseconds per token, held-out completions, and how much of what it
writes stands word for word in the training text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.config import Spec
from archsmith.data.completion import Prompt
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.storage import write_text
from archsmith.data.token_file import TokenFile
from archsmith.data.verbatim import VerbatimIndex, longest_copied
from archsmith.device.target import Target
from archsmith.export.formats.gguf import PART as GGUF
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate import GateReport, check_export
from archsmith.export.llamacpp import Timing
from archsmith.export.roundtrip import requantized
from archsmith.export.score import score_gguf
from archsmith.export.worker import IsolatedLlamaCpp
from archsmith.trial import ArmResult
from archsmith.workflow.fitting import latency_of
from archsmith.workflow.model_folder import FinishedModel, TrainedModel

TRANSFORMERS = "transformers"
_SHOWN_SAMPLES = 4
_COMPLETION_TOKENS = 48


class Completions(Spec):
    """Greedy continuations of held-out prompts.

    Attributes:
        correct_bytes: mean bytes written before the first that differs from what follows there.
        samples: (prompt, completion) pairs to show.
        copied_share: share of all written bytes that lie in a run of 32 bytes or more which
            stands in the training text.
        longest_copied_bytes: the longest such run.
    """

    num_prompts: int
    correct_bytes: float
    samples: tuple[tuple[str, str], ...]
    copied_share: float
    longest_copied_bytes: int


class Handover(Spec):
    """Everything measured of one model as it is deployed."""

    arm: ArmResult
    gate: GateReport
    gguf: str
    transformers: str


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What every arm is measured with, so that their rows compare.

    Attributes:
        protocol: of the score.
        tokens_for: the held-out token file of a vocabulary size.
        prompts: held-out beginnings to complete.
        verbatim: index of the training text, or None to leave that out.
        num_threads: of scoring and latency; one core is what a phone-class device gives.
        target: the machine that milliseconds are predicted for; None: they are measured here.
    """

    protocol: ScoringProtocol
    tokens_for: Callable[[int], TokenFile]
    prompts: Sequence[Prompt] = ()
    verbatim: VerbatimIndex | None = None
    num_threads: int = 1
    target: Target | None = None


def hand_over(
    model: TrainedModel,
    *,
    name: str,
    kind: str,
    output_dir: Path,
    yardstick: Yardstick,
    quantizations: Sequence[str] = (),
    trial: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = True,
    report: Callable[[str, float], None] = lambda what, fraction: None,
) -> Handover:
    """Write, check, score. Raises ExportError, GateError.

    Args:
        name, kind, trial: as in `ArmResult`.
        quantizations: further GGUF files beside the architecture's own quantization.
        metadata: facts for the model card and the GGUF keys.
    """
    architecture = model.architecture
    tokens = yardstick.tokens_for(architecture.vocab_size)
    facts = _facts(model, name, metadata or {})
    report(f"{name}: write", 0.0)
    folder = output_dir / TRANSFORMERS
    HUGGINGFACE.write(
        folder,
        weights=model.weights,
        architecture=architecture,
        tokenizer=model.tokenizer,
        metadata=facts,
        overwrite=overwrite,
    )
    files = [
        write_gguf(model, output_dir, quantization, metadata=facts, overwrite=overwrite)
        for quantization in dict.fromkeys([architecture.quantization, *quantizations])
    ]
    report(f"{name}: reload in transformers and llama.cpp", 0.2)
    gate = check_export(
        architecture=architecture,
        weights=model.weights,
        tokenizer=model.tokenizer,
        huggingface=folder,
        gguf=files,
        tokens=np.asarray(tokens.tokens[:1024]).tolist(),
        reference=own_logits(model),
        num_threads=yardstick.num_threads,
    )
    report(f"{name}: score the file", 0.5)
    score = score_gguf(
        files[0], lambda tokenizer: tokens, yardstick.protocol, num_threads=yardstick.num_threads
    )
    report(f"{name}: time and completions", 0.8)
    with IsolatedLlamaCpp(
        files[0],
        context_tokens=architecture.max_position_embeddings,
        num_threads=yardstick.num_threads,
    ) as runtime:
        timing = runtime.decode_ms_per_token(
            context_position=architecture.max_position_embeddings // 2
        )
        completions = complete(runtime, model, yardstick.prompts, yardstick.verbatim)
    record = model.record
    latency = latency_of(timing, yardstick.target)
    arm = ArmResult(
        name=name,
        kind=kind,
        architecture=architecture.model_dump(mode="json"),
        trial=trial,
        metrics={
            "bits_per_byte": score.bits_per_byte,
            "file_bytes": float(files[0].stat().st_size),
            "decode_ms_per_token": latency.middle,
            "num_params": float(architecture.num_params),
            "train_seconds": record.train_seconds,
        },
        block_nats=score.block_nats,
        block_bytes=score.block_bytes,
        curve=record.curve,
        samples=completions.samples,
        details={
            "summary": architecture.summary(),
            "path": str(files[0]),
            "train_bytes": record.train_bytes,
            "epochs": record.epochs,
            "wall_seconds": record.wall_seconds,
            "train_flops": record.flops,
            "tokens_per_second": record.train_tokens / max(record.train_seconds, 1e-9),
            "flops_utilization": record.flops_utilization(),
            "dtype": record.dtype,
            **record.experts,
            "num_threads": record.num_threads,
            "train_bits_per_byte": record.train_bits_per_byte,
            "trained_bits_per_byte": record.curve[-1][2] if record.curve else None,
            "runtime_kl_nats": gate.runtime_kl_nats,
            "quantization_kl_nats": gate.files[0].kl_nats,
            "top1_agreement": gate.files[0].top1_agreement,
            "decode_ms_min": latency.low,
            "decode_ms_max": latency.high,
            **_predicted(timing, yardstick.target),
            "decode_repeats": timing.repeats,
            "completion_correct_bytes": completions.correct_bytes,
            "completion_prompts": completions.num_prompts,
            "split": "test",
            "copied_share": completions.copied_share,
            "copied_longest_bytes": completions.longest_copied_bytes,
            "context_tokens": score.context_tokens,
            "stride_tokens": score.stride_tokens,
            "scored_bytes": score.num_bytes,
            "seed": record.seed,
        },
    )
    done = Handover(arm=arm, gate=gate, gguf=str(files[0]), transformers=str(folder))
    write_text(output_dir / "handover.json", done.model_dump_json(indent=1))
    report(f"{name}: done", 1.0)
    return done


def _predicted(timing: Timing, target: Target | None) -> dict[str, Any]:
    """What is said of milliseconds that were not measured where they count."""
    if target is None:
        return {}
    return {"decode_ms_predicted_for": target.name, "decode_ms_here": timing.median_ms}


def write_gguf(
    model: FinishedModel,
    output_dir: Path,
    quantization: str,
    *,
    metadata: Mapping[str, Any],
    overwrite: bool,
) -> Path:
    """Write one GGUF file, named by its quantization. Raises ExportError."""
    path = output_dir / f"model-{quantization}.gguf"
    GGUF.write(
        path,
        weights=model.weights,
        architecture=requantized(model.architecture, quantization),
        tokenizer=model.tokenizer,
        metadata=metadata,
        overwrite=overwrite,
    )
    return path


def complete(
    runtime: Any,
    model: TrainedModel,
    prompts: Sequence[Prompt],
    verbatim: VerbatimIndex | None,
) -> Completions:
    """Let the deployed file continue each prompt greedily, and compare with what follows there."""
    tokenizer = model.tokenizer
    context = model.architecture.max_position_embeddings
    length = min(_COMPLETION_TOKENS, context // 2)
    room = context - length
    correct: list[int] = []
    samples: list[tuple[str, str]] = []
    written: list[bytes] = []
    for prompt in prompts:
        start = [tokenizer.document_token_id, *tokenizer.encode(prompt.prompt)][-room:]
        made = tokenizer.decode_bytes(
            runtime.generate(start, max_new_tokens=length, temperature=0.0)
        )
        correct.append(_common_prefix(made, prompt.reference.encode()))
        written.append(made)
        if len(samples) < _SHOWN_SAMPLES:
            samples.append((prompt.prompt, made.decode(errors="replace")))
    copied = [longest_copied(made, verbatim) for made in written] if verbatim is not None else []
    total = sum(one.num_bytes for one in copied)
    return Completions(
        num_prompts=len(prompts),
        correct_bytes=float(np.mean(correct)) if correct else 0.0,
        samples=tuple(samples),
        copied_share=sum(one.share * one.num_bytes for one in copied) / total if total else 0.0,
        longest_copied_bytes=max((one.longest_bytes for one in copied), default=0),
    )


def _common_prefix(first: bytes, second: bytes) -> int:
    pairs = zip(first, second, strict=False)
    return next(
        (index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second))
    )


def own_logits(model: FinishedModel) -> Callable[[Sequence[int]], np.ndarray]:
    """Logits of the model's own forward pass, for the gate."""
    import torch

    from archsmith.model.transformer import build, load_numpy

    own = build(model.architecture, seed=None)
    load_numpy(own, dict(model.weights))
    own.eval()

    def logits(window: Sequence[int]) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = own(torch.tensor([list(window)]))[0].numpy()
        return found

    return logits


def _facts(model: TrainedModel, name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    record = model.record
    return {
        "name": name,
        "train_bytes": record.train_bytes,
        "train_seconds": round(record.train_seconds, 1),
        "held_out_bits_per_byte": record.curve[-1][2] if record.curve else None,
        "tokenizer_hash": model.tokenizer.hash,
        **metadata,
    }

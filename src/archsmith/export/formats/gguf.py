"""Writes a GGUF file (llama.cpp, Ollama, LM Studio) with its tokenizer, quantized tensor by tensor.

Own writer on the `gguf` package: llama.cpp's converter refuses tokenizers it does not know by hash.
Quantization is llama.cpp's own code (`ggml_quantize_chunk`), one tensor in memory at a time.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.errors import ExportError, MissingExtraError
from archsmith.export.carriers import Value, gguf_form, unsupported
from archsmith.export.files import replaced
from archsmith.export.layout import (
    CONTROL_TOKEN,
    NORMAL_TOKEN,
    USER_TOKEN,
    StoredTensor,
    VocabularyLike,
    architecture_keys,
    reserved_keys,
    stored_tensor,
    tokenizer_keys,
)
from archsmith.export.llamacpp import quantize
from archsmith.export.plans import gguf_plan
from archsmith.export.quantization import GGML_TYPES
from archsmith.export.shapes import canonical_shapes
from archsmith.export.tensors import TensorPlan

if TYPE_CHECKING:
    from gguf import GGUFWriter


class Gguf:
    """The exporter `gguf`."""

    name = "gguf"

    def unsupported(self, architecture: Architecture) -> list[str]:
        """Why no GGUF architecture holds `architecture` exactly."""
        return unsupported(architecture, ("gguf",))

    def write(
        self,
        path: Path,
        *,
        weights: Mapping[str, np.ndarray],
        architecture: Architecture,
        tokenizer: VocabularyLike,
        metadata: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        """Write the file in `architecture.quantization`. Raises ExportError."""
        check_weights(architecture, weights)

        def stored(plan: TensorPlan, kind: StoredTensor) -> np.ndarray:
            data = plan.assemble(weights)
            return data if data.ndim == 1 else quantize(kind.ggml_type, data)

        write_file(
            Path(path),
            architecture=architecture,
            tokenizer=tokenizer,
            metadata=metadata,
            stored=stored,
            overwrite=overwrite,
        )


def write_file(
    path: Path,
    *,
    architecture: Architecture,
    tokenizer: VocabularyLike,
    metadata: Mapping[str, Any],
    stored: Callable[[TensorPlan, StoredTensor], np.ndarray],
    overwrite: bool = False,
) -> None:
    """Write a GGUF file whose tensors come from `stored`: bytes uint8 of the planned type in any
    shape, or float32 for vectors. Raises ExportError."""
    check_vocabulary(architecture, tokenizer)
    form = gguf_form(architecture)
    with replaced(path, overwrite=overwrite) as temporary:
        writer = _open(temporary, form.architecture)
        keys = {**architecture_keys(architecture), **reserved_keys(metadata)}
        for key, value in {**keys, **tokenizer_keys(tokenizer)}.items():
            if key != "general.architecture":  # the writer has put it in
                _add(writer, key, value)
        _add_vocabulary(writer, tokenizer)
        _write_tensors(writer, architecture, stored)
        writer.close()


def check_weights(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> None:
    """Every canonical weight is there, in shape and finite. Raises ExportError naming it."""
    shapes = canonical_shapes(architecture)
    extra = sorted(set(weights) - set(shapes))
    if extra:
        raise ExportError(f"the architecture has no weight '{extra[0]}'")
    for name, shape in shapes.items():
        if name not in weights:
            raise ExportError(f"the weight '{name}' is missing")
        if tuple(weights[name].shape) != shape:
            raise ExportError(
                f"the weight '{name}' has shape {tuple(weights[name].shape)}, expected {shape}"
            )
        if not np.isfinite(weights[name]).all():
            raise ExportError(f"the weight '{name}' holds a value that is not finite")


def check_vocabulary(architecture: Architecture, tokenizer: VocabularyLike) -> None:
    """The tokenizer fills the embedding table. Raises ExportError."""
    tokens = len(tokenizer.tokens())
    if tokens != architecture.vocab_size:
        raise ExportError(
            f"the architecture has a vocabulary of {architecture.vocab_size}, "
            f"the tokenizer {tokens} tokens; they must be equal"
        )
    if not tokenizer.merges():
        raise ExportError("the tokenizer has no merges; llama.cpp loads no BPE without any")


def _open(path: Path, architecture: str) -> "GGUFWriter":
    try:
        from gguf import GGUFWriter
    except ImportError:
        raise MissingExtraError("writing GGUF files", "export") from None
    return GGUFWriter(path, architecture)


def _add(writer: "GGUFWriter", key: str, value: Value) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        # unlike add_string, this writes empty text too
        writer.add_key_value(key, value, _types().STRING)
    else:
        kind = _types().BOOL if isinstance(value[0], bool) else _types().UINT32
        writer.add_key_value(key, list(value), _types().ARRAY, sub_type=kind)


def _types() -> Any:
    from gguf import GGUFValueType

    return GGUFValueType


def _add_vocabulary(writer: "GGUFWriter", tokenizer: VocabularyLike) -> None:
    types = _types()
    tokens = tokenizer.tokens()
    kinds = [NORMAL_TOKEN] * len(tokens)
    for index in tokenizer.added_token_ids():
        kinds[index] = USER_TOKEN
    for index in {*tokenizer.special_token_ids(), tokenizer.document_token_id}:
        kinds[index] = CONTROL_TOKEN
    for name, values, kind in (
        ("tokens", tokens, types.STRING),
        ("token_type", kinds, types.INT32),
        ("merges", tokenizer.merges(), types.STRING),
    ):
        writer.add_key_value(f"tokenizer.ggml.{name}", values, types.ARRAY, sub_type=kind)


def _write_tensors(
    writer: "GGUFWriter",
    architecture: Architecture,
    stored: Callable[[TensorPlan, StoredTensor], np.ndarray],
) -> None:
    from gguf import GGMLQuantizationType

    plans = gguf_plan(architecture)
    kinds = [stored_tensor(architecture, plan) for plan in plans]
    for plan, kind in zip(plans, kinds, strict=True):
        shape = plan.shape
        dtype: np.dtype[Any] = np.dtype(np.float32)
        if kind.ggml_type != "F32":  # described by bytes; the writer derives the real shape
            shape = (*shape[:-1], GGML_TYPES[kind.ggml_type].row_bytes(shape[-1]))
            dtype = np.dtype(np.uint8)
        raw = None if kind.ggml_type == "F32" else GGMLQuantizationType[kind.ggml_type]
        writer.add_tensor_info(plan.name, shape, dtype, kind.num_bytes, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for plan, kind in zip(plans, kinds, strict=True):
        writer.write_tensor_data(stored(plan, kind))


PART = Gguf()

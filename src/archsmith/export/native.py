"""llama.cpp's C interface inside the `xllamacpp` wheel, bound with ctypes.

The wheel ships one shared library that exports llama.h and ggml.h. Structs are passed by value, so
their layout must be that of the pinned build (llama.cpp b11549): the wheel's version is compared,
and the structs llama.cpp itself fills with defaults must hold the known defaults in our fields.
Source of names and meanings: include/llama.h of github.com/ggml-org/llama.cpp.
"""

import ctypes
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from archsmith.errors import ExportError, MissingExtraError

PINNED_VERSION = "2026.10.11549"
BUILD = "llama.cpp b11549"
_PURPOSE = "running GGUF files with llama.cpp"
_LEVEL_ERROR, _LEVEL_CONTINUED = 4, 5

Pointer = ctypes.c_void_p
_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class ModelParams(ctypes.Structure):
    """`llama_model_params`; only what is checked or set has a name. Longer than the real struct:
    by-value arguments may be, since the callee reads its own length."""

    _fields_ = (
        ("devices", Pointer),
        ("tensor_buft_overrides", Pointer),
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int32),
        ("reserved_a", ctypes.c_int32 * 4),
        ("tensor_split", Pointer),
        ("progress_callback", Pointer),
        ("progress_callback_user_data", Pointer),
        ("kv_overrides", Pointer),
        ("vocab_only", ctypes.c_bool),
        ("check_tensors", ctypes.c_bool),
        ("use_extra_bufts", ctypes.c_bool),
        ("no_host", ctypes.c_bool),
        ("no_alloc", ctypes.c_bool),
        ("reserved_b", ctypes.c_uint8 * 59),
    )


class ContextParams(ctypes.Structure):
    """`llama_context_params`, likewise."""

    _fields_ = (
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("reserved_a", ctypes.c_uint32 * 3),
        ("n_threads", ctypes.c_int32),
        ("n_threads_batch", ctypes.c_int32),
        ("ctx_type", ctypes.c_int32),
        ("rope_scaling_type", ctypes.c_int32),
        ("pooling_type", ctypes.c_int32),
        ("attention_type", ctypes.c_int32),
        ("flash_attn_type", ctypes.c_int32),
        ("rope_freq_base", ctypes.c_float),
        ("rope_freq_scale", ctypes.c_float),
        ("yarn_ext_factor", ctypes.c_float),
        ("yarn_attn_factor", ctypes.c_float),
        ("yarn_beta_fast", ctypes.c_float),
        ("yarn_beta_slow", ctypes.c_float),
        ("yarn_orig_ctx", ctypes.c_uint32),
        ("defrag_thold", ctypes.c_float),
        ("cb_eval", Pointer),
        ("cb_eval_user_data", Pointer),
        ("type_k", ctypes.c_int32),
        ("type_v", ctypes.c_int32),
        ("abort_callback", Pointer),
        ("abort_callback_data", Pointer),
        ("reserved_b", Pointer),
        ("embeddings", ctypes.c_bool),
        ("offload_kqv", ctypes.c_bool),
        ("no_perf", ctypes.c_bool),
        ("op_offload", ctypes.c_bool),
        ("swa_full", ctypes.c_bool),
        ("kv_unified", ctypes.c_bool),
        ("reserved_c", ctypes.c_uint8 * 114),
    )


class KeyOverride(ctypes.Structure):
    """`llama_model_kv_override` for a boolean: another value for a key of the file."""

    _fields_ = (
        ("tag", ctypes.c_int32),
        ("key", ctypes.c_char * 128),
        ("alignment", ctypes.c_int64 * 0),  # the value is a union with 64-bit numbers
        ("value", ctypes.c_bool),
        ("reserved", ctypes.c_uint8 * 127),
    )

    BOOLEAN = 2


class Batch(ctypes.Structure):
    """`llama_batch`: `logits[i]` says whether token i's logits are wanted."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", Pointer),
        ("pos", Pointer),
        ("n_seq_id", Pointer),
        ("seq_id", Pointer),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


# what the pinned build's own default functions are known to return
_MODEL_DEFAULTS = {
    "devices": None, "tensor_buft_overrides": None, "n_gpu_layers": -1, "split_mode": 1,
    "tensor_split": None, "progress_callback": None, "kv_overrides": None, "vocab_only": False,
    "check_tensors": False, "use_extra_bufts": True, "no_host": False, "no_alloc": False,
}  # fmt: skip
_CONTEXT_DEFAULTS = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_threads": 4,
    "n_threads_batch": 4, "ctx_type": 0, "rope_scaling_type": -1, "pooling_type": -1,
    "attention_type": -1, "flash_attn_type": -1, "rope_freq_base": 0.0, "rope_freq_scale": 0.0,
    "yarn_ext_factor": -1.0, "yarn_orig_ctx": 0, "defrag_thold": -1.0, "cb_eval": None,
    "type_k": 1, "type_v": 1, "abort_callback": None, "embeddings": False, "offload_kqv": True,
    "no_perf": True, "op_offload": True, "swa_full": True, "kv_unified": False,
}  # fmt: skip

_I32, _SIZE, _BOOL, _TEXT = ctypes.c_int32, ctypes.c_size_t, ctypes.c_bool, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LogCallback, Pointer)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (Pointer, (_TEXT, ModelParams)),
    "llama_model_free": (None, (Pointer,)),
    "llama_init_from_model": (Pointer, (Pointer, ContextParams)),
    "llama_free": (None, (Pointer,)),
    "llama_model_get_vocab": (Pointer, (Pointer,)),
    "llama_model_n_ctx_train": (_I32, (Pointer,)),
    "llama_model_n_params": (ctypes.c_uint64, (Pointer,)),
    "llama_model_meta_count": (_I32, (Pointer,)),
    "llama_model_meta_key_by_index": (_I32, (Pointer, _I32, _TEXT, _SIZE)),
    "llama_model_meta_val_str_by_index": (_I32, (Pointer, _I32, _TEXT, _SIZE)),
    "llama_vocab_n_tokens": (_I32, (Pointer,)),
    "llama_vocab_bos": (_I32, (Pointer,)),
    "llama_vocab_eos": (_I32, (Pointer,)),
    "llama_vocab_get_add_bos": (_BOOL, (Pointer,)),
    "llama_vocab_is_eog": (_BOOL, (Pointer, _I32)),
    "llama_tokenize": (_I32, (Pointer, _TEXT, _I32, Pointer, _I32, _BOOL, _BOOL)),
    "llama_token_to_piece": (_I32, (Pointer, _I32, _TEXT, _I32, _I32, _BOOL)),
    "llama_batch_get_one": (Batch, (ctypes.POINTER(_I32), _I32)),
    "llama_decode": (_I32, (Pointer, Batch)),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), (Pointer,)),
    "llama_get_memory": (Pointer, (Pointer,)),
    "llama_memory_clear": (None, (Pointer, _BOOL)),
    "llama_memory_seq_rm": (_BOOL, (Pointer, _I32, _I32, _I32)),
    "ggml_quantize_chunk": (
        _SIZE,
        (ctypes.c_int, Pointer, Pointer, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, Pointer),
    ),
}


class Library:
    """The loaded library; `errors` keeps the last lines llama.cpp complained with."""

    def __init__(self, path: Path) -> None:
        self.errors: deque[str] = deque(maxlen=4)
        self._level = 0
        try:
            self._handle = ctypes.CDLL(str(path))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(self._handle, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise ExportError(
                f"the llama.cpp library {path.name} cannot be used: {error}; "
                f"reinstall it: pip install xllamacpp=={PINNED_VERSION}"
            ) from None
        self._log = _LogCallback(self._on_log)  # kept alive as long as the library
        self._handle.llama_log_set(self._log, None)
        _check_layout(self._handle)
        self._handle.llama_backend_init()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def failure(self, what: str) -> ExportError:
        """An error that says `what`, and what llama.cpp said last."""
        said = "; ".join(self.errors)
        return ExportError(f"{what}: {said}" if said else what)

    def _on_log(self, level: int, text: bytes | None, _: object) -> None:
        self._level = self._level if level == _LEVEL_CONTINUED else level
        line = (text or b"").decode(errors="replace").strip()
        if self._level == _LEVEL_ERROR and line:
            self.errors.append(line)


def _check_layout(handle: Any) -> None:
    for function, expected in (
        ("llama_model_default_params", _MODEL_DEFAULTS),
        ("llama_context_default_params", _CONTEXT_DEFAULTS),
    ):
        params = getattr(handle, function)()
        for field, value in expected.items():
            found = getattr(params, field)
            if found != value:
                raise ExportError(
                    f"the installed llama.cpp is not laid out as {BUILD}: {field} of {function} "
                    f"is {found}, expected {value}; pip install xllamacpp=={PINNED_VERSION}"
                )
    token = (ctypes.c_int32 * 2)(7, 8)
    batch = handle.llama_batch_get_one(token, 2)
    if batch.n_tokens != 2 or batch.token[1] != 8 or batch.logits:
        raise ExportError(f"the installed llama.cpp's llama_batch is not that of {BUILD}")


@cache
def library() -> Library:
    """The pinned llama.cpp, loaded once. Raises MissingExtraError or ExportError."""
    return Library(_find(version))


def _find(installed_version: Callable[[str], str]) -> Path:
    try:
        found = installed_version("xllamacpp")
    except PackageNotFoundError:
        raise MissingExtraError(_PURPOSE, "export") from None
    if found != PINNED_VERSION:
        raise ExportError(
            f"xllamacpp {found} is installed; archsmith reads structs of {PINNED_VERSION} "
            f"({BUILD}): pip install xllamacpp=={PINNED_VERSION}"
        )
    spec = find_spec("xllamacpp")
    folders = [Path(f) for f in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        for suffix in (".so", ".pyd", ".dylib"):
            for path in sorted(folder.glob(f"xllamacpp*{suffix}")):
                return path
    raise MissingExtraError(_PURPOSE, "export")

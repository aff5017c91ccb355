"""How many bytes a GGUF file takes, exact to the byte, without writing it; imports no torch.

A file is a header, key-value pairs, tensor descriptions, and tensors, each padded to 32 bytes
(docs/gguf.md of github.com/ggml-org/ggml). What a caller adds about origin (corpus hash, versions,
a name) goes into a reserve of fixed size, so that it does not move the number of bytes.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol

from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ExportError
from archsmith.export.carriers import (
    GgufForm,
    Value,
    gguf_form,
    kinds_of_layers,
)
from archsmith.export.plans import gguf_layer_plan, gguf_plan, gguf_rest_plan
from archsmith.export.quantization import FILE_TYPES, GGML_TYPES, matrix_type, more_bits
from archsmith.export.tensors import TensorPlan

ALIGNMENT = 32
RESERVED_BYTES = 2048  # for the caller's metadata, padding included
PADDING_KEY = "archsmith.padding"
_HEADER_BYTES = 4 + 4 + 8 + 8  # magic, version, number of tensors, number of keys
NORMAL_TOKEN, CONTROL_TOKEN, USER_TOKEN = 1, 3, 4  # llama_token_type


class VocabularyLike(Protocol):
    """What is written of a tokenizer; `archsmith.data` has the class."""

    @property
    def pre_tokenizer(self) -> str: ...
    @property
    def document_token_id(self) -> int: ...
    def tokens(self) -> list[str]: ...
    def merges(self) -> list[str]: ...
    def special_token_ids(self) -> list[int]: ...
    def added_token_ids(self) -> list[int]: ...


class StoredTensor(NamedTuple):
    """A tensor's GGML type and its shape as in numpy, [..., rows, row width] or [width]."""

    ggml_type: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes without padding."""
        rows = 1
        for size in self.shape[:-1]:
            rows *= size
        return rows * GGML_TYPES[self.ggml_type].row_bytes(self.shape[-1])


def gguf_num_bytes(architecture: Architecture, tokenizer_bytes: int) -> int:
    """Bytes of the GGUF file. Raises ExportError for a point without a carrier.

    Args:
        tokenizer_bytes: what the vocabulary's keys take, from `tokenizer_num_bytes`.
    """
    kinds, indices = kinds_of_layers(architecture)
    form = gguf_form(architecture, kinds)
    mix = _mix(architecture, kinds)
    described, stored = _sizes(gguf_rest_plan(architecture, form), mix)
    sizes: dict[tuple[int, bool], tuple[int, int, int]] = {}
    for layer, kind in enumerate(indices):
        more = more_bits(layer, len(indices))
        if (kind, more) not in sizes:
            sizes[kind, more] = _layer_sizes(
                form, kinds[kind], architecture.hidden_size, mix, more=more
            )
        count, infos, data = sizes[kind, more]
        described += infos + count * len(f"blk.{layer}.")
        stored += data
    head = _HEADER_BYTES + RESERVED_BYTES + tokenizer_bytes + described
    head += keys_num_bytes(_architecture_keys(architecture, form))
    return padded(head) + stored


def layer_bytes_by_type(architecture: Architecture) -> Counter[str]:
    """Bytes of the layers' tensors in the GGUF file, by GGML type, without padding."""
    kinds, indices = kinds_of_layers(architecture)
    form, mix = gguf_form(architecture, kinds), _mix(architecture, kinds)
    by_kind: dict[tuple[int, bool], Counter[str]] = {}
    total: Counter[str] = Counter()
    for layer, kind in enumerate(indices):
        key = kind, more_bits(layer, len(indices))
        if key not in by_kind:
            by_kind[key] = Counter()
            for plan in gguf_layer_plan(form, kinds[kind], architecture.hidden_size):
                tensor = _stored(plan, mix, more=key[1])
                by_kind[key][tensor.ggml_type] += tensor.num_bytes
        total.update(by_kind[key])
    return total


class _Mix(NamedTuple):
    """What decides over the types of a file's tensors."""

    quantization: str
    tied: bool
    num_experts: int


def _mix(architecture: Architecture, kinds: Iterable[Layer]) -> _Mix:
    return _Mix(
        architecture.quantization,
        tied=architecture.tie_word_embeddings,
        num_experts=max(getattr(kind.feed_forward, "num_experts", 0) for kind in kinds),
    )


@lru_cache(maxsize=4096)  # a search asks about the same layer in networks of many depths
def _layer_sizes(
    form: GgufForm, layer: Layer, hidden_size: int, mix: _Mix, *, more: bool
) -> tuple[int, int, int]:
    """Number of a layer's tensors, and their `_sizes` without the layer's prefix."""
    plans = gguf_layer_plan(form, layer, hidden_size)
    return len(plans), *_sizes(plans, mix, more=more)


def _sizes(plans: Iterable[TensorPlan], mix: _Mix, *, more: bool = False) -> tuple[int, int]:
    """Bytes of the descriptions and of the padded data of some tensors."""
    described = stored = 0
    for plan in plans:
        tensor = _stored(plan, mix, more=more)
        # name, number of dimensions, dimensions, type, offset
        described += 8 + len(plan.name) + 4 + 8 * len(plan.shape) + 4 + 8
        stored += padded(tensor.num_bytes)
    return described, stored


def _stored(plan: TensorPlan, mix: _Mix, *, more: bool) -> StoredTensor:
    if len(plan.shape) == 1:
        return StoredTensor("F32", plan.shape)
    role = plan.name.removesuffix(".weight").rpartition(".")[2]
    kind = matrix_type(
        role,
        plan.shape[-1],
        mix.quantization,
        tied=mix.tied,
        more=more,
        num_experts=mix.num_experts,
    )
    return StoredTensor(kind, plan.shape)


def tensor_types(architecture: Architecture) -> dict[str, StoredTensor]:
    """Every tensor of the GGUF file by name, in file order, with its type and shape."""
    return {plan.name: stored_tensor(architecture, plan) for plan in gguf_plan(architecture)}


def stored_tensor(architecture: Architecture, plan: TensorPlan) -> StoredTensor:
    """The type and shape in which one planned tensor is stored."""
    more = False
    if plan.name.startswith("blk."):
        more = more_bits(int(plan.name.split(".")[1]), architecture.num_hidden_layers)
    return _stored(plan, _mix(architecture, architecture.layers), more=more)


def architecture_keys(architecture: Architecture) -> dict[str, Value]:
    """Key-value pairs that follow from the architecture alone."""
    return _architecture_keys(architecture, gguf_form(architecture))


def _architecture_keys(architecture: Architecture, form: GgufForm) -> dict[str, Value]:
    prefix = form.architecture
    return {
        "general.architecture": prefix,
        "general.type": "model",
        "general.file_type": FILE_TYPES[architecture.quantization][1],
        "general.quantization_version": 2,
        **{f"{prefix}.{key}": value for key, value in form.keys(architecture).items()},
    }


def tokenizer_keys(tokenizer: VocabularyLike) -> dict[str, Value]:
    """Scalar key-value pairs of a vocabulary; its arrays are tokens, token types and merges."""
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": tokenizer.pre_tokenizer,
        "tokenizer.ggml.bos_token_id": tokenizer.document_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.document_token_id,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def tokenizer_num_bytes(tokenizer: VocabularyLike) -> int:
    """Bytes that a vocabulary's keys take in the file."""
    return _vocabulary_bytes(
        tokenizer, _string_bytes(tokenizer.tokens()), _string_bytes(tokenizer.merges())
    )


def prefix_num_bytes(tokenizer: VocabularyLike) -> Callable[[int], int]:
    """`vocab_size -> tokenizer_num_bytes(tokenizer.prefix(vocab_size))`, at the cost of a look-up.

    The function raises ExportError for a vocabulary larger than the tokenizer's.
    """
    tokens, merges = tokenizer.tokens(), tokenizer.merges()
    token_bytes, merge_bytes = _running(tokens), _running(merges)
    fixed = _vocabulary_bytes(tokenizer, 0, 0) - 4 * len(tokens)
    ids = {token: index for index, token in enumerate(tokens)}
    # a prefix keeps the merges before the first that makes a token outside it
    made = (ids[merge.replace(" ", "")] for merge in merges)
    highest = list(accumulate(made, max))

    def num_bytes(vocab_size: int) -> int:
        if vocab_size > len(tokens):
            raise ExportError(
                f"the tokenizer has {len(tokens)} tokens; {vocab_size} were asked for"
            )
        num_merges = bisect_left(highest, vocab_size)
        return fixed + 4 * vocab_size + token_bytes[vocab_size] + merge_bytes[num_merges]

    return num_bytes


def _vocabulary_bytes(tokenizer: VocabularyLike, token_bytes: int, merge_bytes: int) -> int:
    arrays = sum(
        8 + len(f"tokenizer.ggml.{name}") + 4 + 4 + 8 for name in ("tokens", "token_type", "merges")
    )
    types = 4 * len(tokenizer.tokens())
    return keys_num_bytes(tokenizer_keys(tokenizer)) + arrays + types + token_bytes + merge_bytes


def _string_bytes(texts: Iterable[str]) -> int:
    return sum(8 + len(text.encode()) for text in texts)


def _running(texts: Iterable[str]) -> list[int]:
    totals = [0]
    for text in texts:
        totals.append(totals[-1] + 8 + len(text.encode()))
    return totals


def keys_num_bytes(keys: Mapping[str, Value]) -> int:
    """Bytes of key-value pairs."""
    return sum(8 + len(key.encode()) + 4 + _value_bytes(value) for key, value in keys.items())


def _value_bytes(value: Value) -> int:
    if isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return 8 + len(value.encode())
    if isinstance(value, tuple):
        return 4 + 8 + sum(_value_bytes(item) for item in value)
    return 4


def reserved_keys(metadata: Mapping[str, object]) -> dict[str, Value]:
    """The caller's metadata as keys that take exactly `RESERVED_BYTES`, padding included.

    `name` becomes `general.name`, `description` and `license` likewise; any other key is written
    as `archsmith.<key>`, its value as text. Raises ExportError if they do not fit.
    """
    general = ("name", "description", "license", "author", "url")
    keys: dict[str, Value] = {
        (f"general.{key}" if key in general else f"archsmith.{key}"): str(value)
        for key, value in metadata.items()
    }
    room = RESERVED_BYTES - keys_num_bytes({**keys, PADDING_KEY: ""})
    if room < 0:
        raise ExportError(
            f"the metadata takes {RESERVED_BYTES - room} bytes of the file; "
            f"{RESERVED_BYTES} are reserved: shorten the longest values"
        )
    return {**keys, PADDING_KEY: " " * room}


def padded(num_bytes: int) -> int:
    """The next multiple of the file's alignment."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT

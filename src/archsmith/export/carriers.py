"""Which stock transformers class and which GGUF architecture hold a point exactly: its carrier.

A carrier computes in both runtimes what the canonical weights compute; its exact forms (tensors,
`config.json`, GGUF keys) are data here and code nowhere else. A point without a carrier is refused
with reasons before anything is trained. The traps the refusals name were found by comparing logits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ConfigError, ExportError, did_you_mean
from archsmith.export.tensors import TensorPlan

# int is written as uint32, float as float32, a tuple as an array
Value = bool | int | float | str | tuple[bool, ...] | tuple[int, ...]
TARGETS = ("huggingface", "gguf")


class Carrier(NamedTuple):
    """One row of the table.

    Attributes:
        name: how messages call it.
        transformers_class, model_type: the stock class and its `model_type`.
        gguf_architecture: `general.architecture` in the file.
        refusals: why an architecture with these kinds of layers does not fit; empty if it does.
        config: the architecture's own entries of `config.json`.
        keys: GGUF keys without the architecture's prefix.
        huggingface_layer, gguf_layer: tensors of one layer, names without the layer's prefix.
        final_norm: the name of the last norm in transformers.
    """

    name: str
    transformers_class: str
    model_type: str
    gguf_architecture: str
    refusals: Callable[[Architecture, Sequence[Layer]], list[str]]
    config: Callable[[Architecture], dict[str, Any]]
    keys: Callable[[Architecture], dict[str, Value]]
    huggingface_layer: Callable[[Layer, int], list[TensorPlan]]
    gguf_layer: Callable[[Layer, int], list[TensorPlan]]
    final_norm: str = "model.norm"


def find_carrier(architecture: Architecture) -> Carrier | None:
    """The first carrier that holds `architecture`, or None."""
    return fitting_carrier(architecture, kinds_of_layers(architecture)[0])


def fitting_carrier(architecture: Architecture, kinds: Sequence[Layer]) -> Carrier | None:
    """`find_carrier` where the kinds of layers are known already."""
    return next((c for c in _table().values() if not c.refusals(architecture, kinds)), None)


def kinds_of_layers(architecture: Architecture) -> tuple[list[Layer], list[int]]:
    """The different layers of an architecture, and for each layer which of them it is."""
    kinds: list[Layer] = []
    indices: list[int] = []
    last, index = None, -1
    for layer in architecture.layers:
        if layer is not last:
            index = next((i for i, kind in enumerate(kinds) if kind == layer), len(kinds))
            if index == len(kinds):
                kinds.append(layer)
            last = layer
        indices.append(index)
    return kinds, indices


def carrier_of(architecture: Architecture) -> Carrier:
    """The carrier of `architecture`. Raises ExportError with the reasons if there is none."""
    found = find_carrier(architecture)
    if found is None:
        reasons = "; ".join(unsupported(architecture))
        raise ExportError(f"no stock model class holds {architecture.summary()} exactly: {reasons}")
    return found


def unsupported(architecture: Architecture, targets: Iterable[str] = TARGETS) -> list[str]:
    """Why no carrier holds `architecture`, in terms of the nearest ones; empty if one does.

    Every carrier of the table serves both targets, `huggingface` and `gguf`.
    """
    for target in targets:
        if target not in TARGETS:
            raise ConfigError(f"unknown export target '{target}'; {did_you_mean(target, TARGETS)}")
    kinds = kinds_of_layers(architecture)[0]
    refusals = [(c.name, c.refusals(architecture, kinds)) for c in _table().values()]
    fewest = min(len(reasons) for _, reasons in refusals)
    said: dict[str, str] = {}
    for name, reasons in refusals:
        if len(reasons) == fewest:
            for reason in reasons:
                said.setdefault(reason, f"{name}: {reason}")
    return list(said.values())


def gguf_plan(architecture: Architecture) -> list[TensorPlan]:
    """Every tensor of the GGUF file, in file order. Raises ExportError without a carrier."""
    carrier = carrier_of(architecture)
    plans = [_embedding(architecture, "token_embd.weight")]
    for index, layer in enumerate(architecture.layers):
        plans += [
            plan.placed(f"blk.{index}.", f"model.layers.{index}.")
            for plan in layer_plan(carrier.name, "gguf", layer, architecture.hidden_size)
        ]
    return plans + _tail(architecture, "output_norm", "output")


def huggingface_plan(architecture: Architecture) -> list[TensorPlan]:
    """Every tensor of the transformers folder. Raises ExportError without a carrier."""
    carrier = carrier_of(architecture)
    plans = [_embedding(architecture, "model.embed_tokens.weight")]
    for index, layer in enumerate(architecture.layers):
        prefix = f"model.layers.{index}."
        plans += [
            plan.placed(prefix, prefix)
            for plan in layer_plan(carrier.name, "huggingface", layer, architecture.hidden_size)
        ]
    return plans + _tail(architecture, carrier.final_norm, "lm_head")


@lru_cache(maxsize=4096)
def layer_plan(carrier: str, target: str, layer: Layer, hidden_size: int) -> tuple[TensorPlan, ...]:
    """Tensors of one layer of a file, in order, names and parts without the layer's prefix."""
    found = _table()[carrier]
    make = found.gguf_layer if target == "gguf" else found.huggingface_layer
    return tuple(make(layer, hidden_size))


def rest_plan(architecture: Architecture) -> list[TensorPlan]:
    """Tensors of the GGUF file outside the layers."""
    return [
        _embedding(architecture, "token_embd.weight"),
        *_tail(architecture, "output_norm", "output"),
    ]


def _embedding(architecture: Architecture, name: str) -> TensorPlan:
    shape = (architecture.vocab_size, architecture.hidden_size)
    return TensorPlan(name, shape, ("model.embed_tokens.weight",))


def _tail(architecture: Architecture, norm: str, head: str) -> list[TensorPlan]:
    width, vocab = architecture.hidden_size, architecture.vocab_size
    plans = [TensorPlan(f"{norm}.weight", (width,), ("model.norm.weight",))]
    if architecture.final_norm.type == "layer":
        plans.append(TensorPlan(f"{norm}.bias", (width,), ("model.norm.bias",)))
    if not architecture.tie_word_embeddings:
        plans.append(TensorPlan(f"{head}.weight", (vocab, width), ("lm_head.weight",)))
    if architecture.lm_head_bias:
        plans.append(TensorPlan(f"{head}.bias", (vocab,), ("lm_head.bias",)))
    return plans


def _table() -> Mapping[str, Carrier]:
    from archsmith.export.carrier_table import CARRIERS  # the table imports this file's types

    return CARRIERS

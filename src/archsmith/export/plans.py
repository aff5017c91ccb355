"""Every tensor of the two files of a point, from the forms of its carrier."""

from functools import lru_cache

from archsmith.architecture.tree import Architecture, Layer
from archsmith.export.carriers import GgufForm, gguf_form, huggingface_form, kinds_of_layers
from archsmith.export.tensors import TensorPlan


def gguf_plan(architecture: Architecture) -> list[TensorPlan]:
    """Every tensor of the GGUF file, in file order. Raises ExportError without a carrier."""
    form = gguf_form(architecture)
    plans = [_embedding(architecture, "token_embd.weight")]
    for index, layer in enumerate(architecture.layers):
        plans += [
            plan.placed(f"blk.{index}.", f"model.layers.{index}.")
            for plan in gguf_layer_plan(form, layer, architecture.hidden_size)
        ]
    return plans + _gguf_tail(architecture, form)


def huggingface_plan(architecture: Architecture) -> list[TensorPlan]:
    """Every tensor of the transformers folder. Raises ExportError without a carrier."""
    form = huggingface_form(architecture)
    plans = [_embedding(architecture, "model.embed_tokens.weight")]
    kinds, indices = kinds_of_layers(architecture)
    layers = [form.layer(kind, architecture) for kind in kinds]
    for index, kind in enumerate(indices):
        prefix = f"model.layers.{index}."
        plans += [plan.placed(prefix, prefix) for plan in layers[kind]]
    return plans + _tail(architecture, form.final_norm, "lm_head")


@lru_cache(maxsize=4096)
def gguf_layer_plan(form: GgufForm, layer: Layer, hidden_size: int) -> tuple[TensorPlan, ...]:
    """Tensors of one layer of a file, in order, names and parts without the layer's prefix."""
    return tuple(form.layer(layer, hidden_size))


def gguf_rest_plan(architecture: Architecture, form: GgufForm) -> list[TensorPlan]:
    """Tensors of the GGUF file outside the layers."""
    return [_embedding(architecture, "token_embd.weight"), *_gguf_tail(architecture, form)]


def _gguf_tail(architecture: Architecture, form: GgufForm) -> list[TensorPlan]:
    return [*form.constants(architecture), *_tail(architecture, "output_norm", "output")]


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

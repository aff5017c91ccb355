"""Names and shapes of the canonical weights of an architecture, without building it.

Canonical names are Hugging Face Llama's, `model.layers.0.self_attn.q_proj.weight` and so on; a
matrix is [outputs, inputs].
"""

from functools import lru_cache

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ExportError

Shapes = dict[str, tuple[int, ...]]


def canonical_shapes(architecture: Architecture) -> Shapes:
    """Every weight's name and shape. Raises ExportError for a block without an exporter."""
    width, vocab = architecture.hidden_size, architecture.vocab_size
    shapes: Shapes = {"model.embed_tokens.weight": (vocab, width)}
    for index, layer in enumerate(architecture.layers):
        for name, shape in layer_shapes(layer, width).items():
            shapes[f"model.layers.{index}.{name}"] = shape
    shapes |= _norm(architecture.final_norm, "model.norm", width)
    if not architecture.tie_word_embeddings:
        shapes["lm_head.weight"] = (vocab, width)
    if architecture.lm_head_bias:
        shapes["lm_head.bias"] = (vocab,)
    return shapes


@lru_cache(maxsize=4096)
def layer_shapes(layer: Layer, hidden_size: int) -> Shapes:
    """The same for one layer, names without `model.layers.{i}.`."""
    shapes = _norm(layer.norm, "input_layernorm", hidden_size)
    mixer, feed_forward = layer.mixer, layer.feed_forward
    if not isinstance(mixer, Attention):
        raise ExportError(f"the mixer '{mixer.type}' has no exporter; 'attention' has one")
    queries, keys = mixer.query_size, mixer.key_value_size
    for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        shapes |= _linear(f"self_attn.{name}", outputs, hidden_size, bias=mixer.qkv_bias)
    shapes |= _linear("self_attn.o_proj", hidden_size, queries, bias=mixer.output_bias)
    if mixer.qk_norm:
        shapes["self_attn.q_norm.weight"] = (mixer.head_dim,)
        shapes["self_attn.k_norm.weight"] = (mixer.head_dim,)
    if layer.residual == "sequential":
        shapes |= _norm(layer.norm, "post_attention_layernorm", hidden_size)
    if isinstance(feed_forward, GatedMlp):
        inner, bias = feed_forward.intermediate_size, feed_forward.bias
        shapes |= _linear("mlp.gate_proj", inner, hidden_size, bias=bias)
        shapes |= _linear("mlp.up_proj", inner, hidden_size, bias=bias)
        shapes |= _linear("mlp.down_proj", hidden_size, inner, bias=bias)
    elif isinstance(feed_forward, Mlp):
        inner, bias = feed_forward.intermediate_size, feed_forward.bias
        shapes |= _linear("mlp.fc1", inner, hidden_size, bias=bias)
        shapes |= _linear("mlp.fc2", hidden_size, inner, bias=bias)
    else:
        raise ExportError(
            f"the feed-forward '{feed_forward.type}' has no exporter; 'gated_mlp' and 'mlp' have"
        )
    return shapes


def _linear(name: str, outputs: int, inputs: int, *, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _norm(norm: Norm, name: str, width: int) -> Shapes:
    weight: Shapes = {f"{name}.weight": (width,)}
    return weight | {f"{name}.bias": (width,)} if norm.type == "layer" else weight

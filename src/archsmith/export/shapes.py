"""Names and shapes of the canonical weights of an architecture, without building it.

Canonical names are Hugging Face Llama's, `model.layers.0.self_attn.q_proj.weight` and so on; a
matrix is [outputs, inputs], the matrices of all experts are stacked [experts, outputs, inputs].
"""

from functools import lru_cache

from archsmith.architecture.feed_forwards.base import FeedForward
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.base import Mixer
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
    shapes |= _attention(layer.mixer, hidden_size)
    if layer.residual == "sequential":
        shapes |= _norm(layer.norm, "post_attention_layernorm", hidden_size)
    return shapes | _feed_forward(layer.feed_forward, hidden_size)


def _attention(mixer: Mixer, hidden_size: int) -> Shapes:
    if not isinstance(mixer, Attention):
        raise ExportError(f"the mixer '{mixer.type}' has no exporter; 'attention' has one")
    shapes: Shapes = {}
    queries, keys = mixer.query_size, mixer.key_value_size
    for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        shapes |= _linear(f"self_attn.{name}", outputs, hidden_size, bias=mixer.qkv_bias)
    shapes |= _linear("self_attn.o_proj", hidden_size, queries, bias=mixer.output_bias)
    if mixer.qk_norm:
        head = mixer.qk_norm_over == "head"
        shapes["self_attn.q_norm.weight"] = (mixer.head_dim if head else queries,)
        shapes["self_attn.k_norm.weight"] = (mixer.head_dim if head else keys,)
    return shapes


def _feed_forward(block: FeedForward, hidden_size: int) -> Shapes:
    if isinstance(block, GatedMlp):
        return _gated("mlp", block.intermediate_size, hidden_size, bias=block.bias)
    if isinstance(block, Mlp):
        inner = block.intermediate_size
        up = _linear("mlp.fc1", inner, hidden_size, bias=block.bias)
        return up | _linear("mlp.fc2", hidden_size, inner, bias=block.bias)
    if isinstance(block, MixtureOfExperts):
        return _experts(block, hidden_size)
    raise ExportError(
        f"the feed-forward '{block.type}' has no exporter; 'gated_mlp', 'mlp' and "
        "'mixture_of_experts' have"
    )


def _experts(block: MixtureOfExperts, hidden_size: int) -> Shapes:
    experts, inner = block.num_experts, block.moe_intermediate_size
    shapes: Shapes = {"mlp.gate.weight": (experts, hidden_size)}
    if block.router == "sigmoid":
        shapes["mlp.gate.e_score_correction_bias"] = (experts,)
    shapes["mlp.experts.gate_proj"] = (experts, inner, hidden_size)
    shapes["mlp.experts.up_proj"] = (experts, inner, hidden_size)
    shapes["mlp.experts.down_proj"] = (experts, hidden_size, inner)
    if block.shared_expert_intermediate_size is not None:
        inner = block.shared_expert_intermediate_size
        shapes |= _gated("mlp.shared_expert", inner, hidden_size, bias=False)
    if block.shared_expert_gate:
        shapes["mlp.shared_expert_gate.weight"] = (1, hidden_size)
    return shapes


def _gated(name: str, inner: int, hidden_size: int, *, bias: bool) -> Shapes:
    shapes = _linear(f"{name}.gate_proj", inner, hidden_size, bias=bias)
    shapes |= _linear(f"{name}.up_proj", inner, hidden_size, bias=bias)
    return shapes | _linear(f"{name}.down_proj", hidden_size, inner, bias=bias)


def _linear(name: str, outputs: int, inputs: int, *, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (outputs, inputs)}
    return weight | {f"{name}.bias": (outputs,)} if bias else weight


def _norm(norm: Norm, name: str, width: int) -> Shapes:
    weight: Shapes = {f"{name}.weight": (width,)}
    return weight | {f"{name}.bias": (width,)} if norm.type == "layer" else weight

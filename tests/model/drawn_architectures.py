"""Hypothesis strategies for small architectures: every choice of the dense portable core."""

from hypothesis import strategies as st

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import Rope
from archsmith.architecture.tree import Architecture, Layer

norms = st.builds(Norm, type=st.sampled_from(["rms", "layer"]), eps=st.sampled_from([1e-5, 1e-6]))
ropes = st.none() | st.builds(
    Rope,
    theta=st.sampled_from([100.0, 10_000.0]),
    partial_rotary_factor=st.sampled_from([0.5, 1.0]),
)
feed_forwards = st.builds(
    GatedMlp,
    intermediate_size=st.sampled_from([8, 24]),
    activation=st.sampled_from(["silu", "gelu_tanh"]),
    bias=st.booleans(),
) | st.builds(
    Mlp,
    intermediate_size=st.sampled_from([8, 24]),
    activation=st.sampled_from(["gelu_tanh", "silu", "relu2"]),
    bias=st.booleans(),
)


@st.composite
def attentions(draw: st.DrawFn) -> Attention:
    heads, kv_heads = draw(st.sampled_from([(1, 1), (4, 1), (4, 2), (3, 3)]))
    return Attention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=draw(st.sampled_from([4, 8, 10])),
        rope=draw(ropes),
        qkv_bias=draw(st.booleans()),
        output_bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        sliding_window=draw(st.sampled_from([None, 1, 5])),
    )


layers = st.builds(
    Layer,
    mixer=attentions(),
    feed_forward=feed_forwards,
    norm=norms,
    residual=st.sampled_from(["sequential", "parallel"]),
)
architectures = st.builds(
    Architecture,
    hidden_size=st.sampled_from([12, 20]),
    vocab_size=st.sampled_from([7, 31]),
    max_position_embeddings=st.just(32),
    layers=st.lists(layers, min_size=1, max_size=3).map(tuple),
    final_norm=norms,
    tie_word_embeddings=st.booleans(),
    lm_head_bias=st.booleans(),
)


def small(**changes: object) -> Architecture:
    """A fixed two-layer architecture with a few fields changed, on the attention or above it."""
    attention = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    for name in set(changes) & set(Attention.model_fields):
        attention[name] = changes.pop(name)  # type: ignore[assignment]
    layer = {"mixer": {"type": "attention", **attention}}
    layer["feed_forward"] = {"type": "gated_mlp", "intermediate_size": 40}
    for name in set(changes) & set(Layer.model_fields):
        layer[name] = changes.pop(name)  # type: ignore[assignment]
    tree = {"hidden_size": 32, "vocab_size": 53, "max_position_embeddings": 64}
    return Architecture.model_validate({**tree, "layers": [layer, layer], **changes})

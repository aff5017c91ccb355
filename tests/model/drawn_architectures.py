"""Hypothesis strategies for small architectures: every choice of dense layers."""

from hypothesis import strategies as st

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import LongRope, Rope
from archsmith.architecture.tree import Architecture, Layer

norms = st.builds(Norm, type=st.sampled_from(["rms", "layer"]), eps=st.sampled_from([1e-5, 1e-6]))
feed_forwards = (
    st.builds(
        GatedMlp,
        intermediate_size=st.sampled_from([8, 24]),
        activation=st.sampled_from(["silu", "gelu_tanh"]),
        bias=st.booleans(),
    )
    | st.builds(
        GatedMlp,
        intermediate_size=st.sampled_from([8, 24]),
        activation=st.just("gegelu"),
        activation_limit=st.sampled_from([None, 0.5, 20.0]),
        bias=st.booleans(),
    )
    | st.builds(
        Mlp,
        intermediate_size=st.sampled_from([8, 24]),
        activation=st.sampled_from(["gelu_tanh", "silu", "relu2"]),
        bias=st.booleans(),
    )
)


@st.composite
def ropes(draw: st.DrawFn, head_dim: int) -> Rope:
    plain = Rope(
        theta=draw(st.sampled_from([100.0, 10_000.0])),
        partial_rotary_factor=draw(st.sampled_from([0.5, 1.0])),
    )
    if draw(st.booleans()):
        return plain
    pairs = plain.rotary_dim(head_dim) // 2
    scaling = LongRope(
        # shorter than the texts of the tests, so that they pass the switch
        original_max_position_embeddings=draw(st.sampled_from([6, 9])),
        short_factor=(1.0,) * (pairs - 1) + (1.5,),
        long_factor=tuple(2.0 + pair for pair in range(pairs)),
        long_attention_factor=draw(st.sampled_from([None, 1.7])),
    )
    return plain.model_copy(update={"long_rope": scaling})


@st.composite
def attentions(draw: st.DrawFn) -> Attention:
    heads, kv_heads = draw(st.sampled_from([(1, 1), (4, 1), (4, 2), (3, 3)]))
    head_dim = draw(st.sampled_from([4, 7, 8, 10]))
    rotated = head_dim % 2 == 0 and draw(st.booleans())
    fields = {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rope": draw(ropes(head_dim)) if rotated else None,
        "qkv_bias": draw(st.booleans()),
        "output_bias": draw(st.booleans()),
        "qk_norm": draw(st.booleans()),
        "qk_norm_over": draw(st.sampled_from(["head", "all_heads"])),
        "attention_multiplier": draw(st.sampled_from([None, 0.2])),
    }
    if draw(st.booleans()):
        return Attention(**fields, sliding_window=draw(st.sampled_from([None, 1, 5])))
    return BlockSparseAttention(
        **fields,
        block_size=draw(st.sampled_from([1, 2, 3])),
        num_local_blocks=draw(st.sampled_from([1, 2])),
        vertical_stride=draw(st.sampled_from([1, 2, 3])),
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
    embedding_multiplier=st.sampled_from([1.0, 3.0]),
    residual_multiplier=st.sampled_from([1.0, 0.3]),
    logits_scaling=st.sampled_from([1.0, 5.0]),
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

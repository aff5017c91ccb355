"""Architectures at random: from the search space, and of the carriers that no family draws from."""

from functools import cache

from export_helpers import experts, long_rope, make

from archsmith.architecture.tree import Architecture
from archsmith.export.carriers import TARGETS, unsupported
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import tiny

FAMILIES = (
    "llama", "qwen3", "phi3", "phi", "mixtral", "qwen3_moe", "qwen2_moe", "olmoe", "granite_swa",
)  # fmt: skip
QUANTIZATIONS = ("Q4_0", "Q8_0", "F16")


@cache
def space():
    """The tiny space of every family, without what a target cannot hold."""
    vocabularies = (Vocabulary(280, 64), Vocabulary(400, 48))
    return tiny(families=FAMILIES, vocabularies=vocabularies).exportable_to(TARGETS).space


def random_point(rng) -> Architecture:
    """A point that both targets hold."""
    if rng.random() < 0.5:
        return space().sample(rng)
    while True:
        point = rng.choice((padded, mimo, phi3_long, granite))(rng)
        if not unsupported(point):
            return point


def padded(rng) -> Architecture:
    """Heads, key-value heads and feed-forward width of each layer by themselves."""
    normed = rng.random() < 0.5
    layers = rng.randint(1, 4)
    groups = [(1, 1), (2, 1), (2, 2), (3, 1), (3, 3), (4, 1), (4, 2), (4, 4), (6, 2)]
    chosen = [rng.choice(groups) for _ in range(layers)]
    mixer = {"qk_norm": normed, "rope": {"theta": rng.choice((1e4, 1e6))}}
    if not normed:
        mixer |= {"qkv_bias": rng.random() < 0.5, "output_bias": rng.random() < 0.5}
    return make(
        hidden_size=rng.choice((48, 96)),
        head_dim=rng.choice((8, 16)),
        layers=layers,
        mixer=mixer,
        per_layer={
            index: {"num_attention_heads": heads, "num_key_value_heads": keys}
            for index, (heads, keys) in enumerate(chosen)
        },
        layer_at={
            index: {
                "feed_forward": {"type": "gated_mlp", "intermediate_size": rng.randint(1, 5) * 16}
            }
            for index in range(layers)
        },
        tie_word_embeddings=normed or rng.random() < 0.5,
        quantization=rng.choice(QUANTIZATIONS),
    )


def mimo(rng) -> Architecture:
    """A window or none, experts or none, in each layer."""
    layers = rng.randint(1, 4)
    windowed = [rng.random() < 0.5 for _ in range(layers)]
    sparse = {
        "feed_forward": experts(
            router="sigmoid", num_experts=rng.randint(2, 9), num_experts_per_tok=rng.randint(1, 2)
        )
    }
    full, window = ({"partial_rotary_factor": 0.5, "theta": t} for t in (1e5, 1e4))
    return make(
        hidden_size=64,
        heads=4,
        head_dim=rng.choice((8, 16)),
        layers=layers,
        mixer={"rope": full},
        per_layer={
            index: {
                "num_key_value_heads": rng.choice((1, 2, 4)),
                **({"sliding_window": 7, "rope": window} if within else {}),
            }
            for index, within in enumerate(windowed)
        },
        layer_at={index: sparse for index in range(layers) if rng.random() < 0.5},
        tie_word_embeddings=False,
        quantization=rng.choice(QUANTIZATIONS),
    )


def phi3_long(rng) -> Architecture:
    """LongRoPE on this side of the switch and beyond."""
    factor = rng.choice((0.5, 1.0))
    given = rng.choice((None, 1.2))
    long = long_rope(
        int(8 * factor),
        original=rng.choice((256, 300)),
        short_attention_factor=given,
        long_attention_factor=given,
    )
    return make(
        hidden_size=64,
        heads=4,
        kv=rng.choice((1, 4)),
        head_dim=16,
        context=rng.choice((256, 320, 512)),
        mixer={"rope": {"partial_rotary_factor": factor, "long_rope": long}},
        tie_word_embeddings=rng.random() < 0.5,
        quantization=rng.choice(QUANTIZATIONS),
    )


def granite(rng) -> Architecture:
    """Multipliers, windows and layers without rotary embedding."""
    layers = rng.randint(1, 4)
    return make(
        hidden_size=64,
        heads=4,
        head_dim=16,
        layers=layers,
        mixer={"attention_multiplier": rng.choice((None, 0.1, 0.5))},
        per_layer={
            index: rng.choice(({}, {"sliding_window": 6}, {"rope": None}))
            for index in range(layers)
        },
        embedding_multiplier=rng.choice((1.0, 4.0)),
        residual_multiplier=rng.choice((1.0, 0.3)),
        logits_scaling=rng.choice((1.0, 3.0)),
        quantization=rng.choice(QUANTIZATIONS),
    )

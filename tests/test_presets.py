"""Published architectures to the last parameter, and hand-drawn shapes between them."""

import pytest

from archsmith import presets
from archsmith.architecture.mixers.attention import Attention
from archsmith.presets.long_rope import published_long_ropes

# name -> (parameters of the published weights, those used for one token)
_PUBLISHED = {
    "phi_1_small": (356_794_368, 356_794_368),
    "phi_1": (1_418_270_720, 1_418_270_720),
    "phi_1_5": (1_418_270_720, 1_418_270_720),
    "phi_2": (2_779_683_840, 2_779_683_840),
    "phi_3_mini": (3_821_079_552, 3_821_079_552),
    "phi_3_mini_128k": (3_821_079_552, 3_821_079_552),
    "phi_3_small": (7_392_272_384, 7_392_272_384),
    "phi_3_medium": (13_960_238_080, 13_960_238_080),
    "phi_3_5_mini": (3_821_079_552, 3_821_079_552),
    "phi_3_5_moe": (41_873_153_344, 6_640_999_744),
    "phi_4": (14_659_507_200, 14_659_507_200),
    "phi_4_mini": (3_836_021_760, 3_836_021_760),
    "llama_3_2_1b": (1_235_814_400, 1_235_814_400),
    "llama_3_2_3b": (3_212_749_824, 3_212_749_824),
    "qwen3_0_6b": (596_049_920, 596_049_920),
    "qwen3_30b_a3b": (30_532_122_624, 3_353_032_704),
    "olmoe_1b_7b": (6_919_161_856, 1_282_017_280),
    "mixtral_8x7b": (46_702_792_704, 12_879_925_248),
}

# The published config.json files, as far as they decide shapes: (class, width, layers, heads,
# key-value heads, feed-forward or expert width, vocabulary, everything else)
_PHI_MOE = {"num_local_experts": 16, "attention_bias": True, "lm_head_bias": True}
_QWEN_MOE = {"head_dim": 128, "moe_intermediate_size": 768, "num_experts": 128}
_CONFIGS = {
    "phi_1_small": ("Phi", 1024, 20, 16, 16, 4096, 51200, {}),
    "phi_1": ("Phi", 2048, 24, 32, 32, 8192, 51200, {}),
    "phi_1_5": ("Phi", 2048, 24, 32, 32, 8192, 51200, {}),
    "phi_2": ("Phi", 2560, 32, 32, 32, 10240, 51200, {}),
    "phi_3_mini": ("Phi3", 3072, 32, 32, 32, 8192, 32064, {}),
    "phi_3_mini_128k": ("Phi3", 3072, 32, 32, 32, 8192, 32064, {}),
    "phi_3_medium": ("Phi3", 5120, 40, 40, 10, 17920, 32064, {}),
    "phi_3_5_mini": ("Phi3", 3072, 32, 32, 32, 8192, 32064, {}),
    "phi_3_5_moe": ("Phimoe", 4096, 32, 32, 8, 6400, 32064, _PHI_MOE),
    "phi_4": ("Phi3", 5120, 40, 40, 10, 17920, 100352, {}),
    "phi_4_mini": ("Phi3", 3072, 32, 24, 8, 8192, 200064, {"tie_word_embeddings": True}),
    "llama_3_2_1b": ("Llama", 2048, 16, 32, 8, 8192, 128256, {"tie_word_embeddings": True}),
    "llama_3_2_3b": ("Llama", 3072, 28, 24, 8, 8192, 128256, {"tie_word_embeddings": True}),
    "qwen3_0_6b": (
        "Qwen3", 1024, 28, 16, 8, 3072, 151936, {"head_dim": 128, "tie_word_embeddings": True},
    ),
    "qwen3_30b_a3b": ("Qwen3Moe", 2048, 48, 32, 4, 6144, 151936, _QWEN_MOE),
    "olmoe_1b_7b": ("Olmoe", 2048, 16, 16, 16, 1024, 50304, {"num_experts": 64}),
    "mixtral_8x7b": ("Mixtral", 4096, 32, 32, 8, 14336, 32000, {"num_local_experts": 8}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_parameters_match_the_published_weights(name):
    architecture = presets.PRESETS[name]()
    assert (architecture.num_params, architecture.num_active_params) == _PUBLISHED[name]


@pytest.mark.parametrize("name", sorted(_CONFIGS))
def test_parameters_match_the_stock_class_on_the_meta_device(name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    kind, width, depth, heads, kv_heads, inner, vocab_size, more = _CONFIGS[name]
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=inner,
        vocab_size=vocab_size,
        pad_token_id=0,
        **more,
    )
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
    model.tie_weights()
    architecture = presets.PRESETS[name]()
    assert sum(p.numel() for p in model.parameters()) == architecture.num_params


def test_phi_3_small_is_counted_by_hand():
    """No stock class: fused query-key-value, output and both MLP matrices with biases, two
    LayerNorms a layer, one at the end, and a table that is the head too."""
    width, inner, key_values = 4096, 14336, 2 * 8 * 128
    attention = (width + 1) * (width + key_values) + (width + 1) * width
    mlp = (width + 1) * 2 * inner + (inner + 1) * width
    layer = attention + mlp + 2 * 2 * width
    assert presets.phi_3_small().num_params == 32 * layer + 2 * width + 100352 * width


def test_phi_3_small_alternates_block_sparse_and_dense_layers():
    layers = presets.phi_3_small().layers
    assert [layer.mixer.type for layer in layers[:4]] == [
        "block_sparse_attention", "attention", "block_sparse_attention", "attention",
    ]  # fmt: skip
    assert {layer.mixer.softmax_scale for layer in layers} == {1 / 128}


def test_every_preset_has_a_published_configuration_or_a_count_by_hand():
    assert set(presets.PRESETS) == set(_PUBLISHED) == {*_CONFIGS, "phi_3_small"}


@pytest.mark.parametrize(
    ("name", "kib_per_token"),
    [
        ("phi_1", 192),
        ("phi_2", 320),
        ("phi_3_mini", 384),
        ("phi_3_medium", 200),
        ("phi_3_5_moe", 128),
        ("phi_4", 200),
        ("phi_4_mini", 128),
    ],
)
def test_the_cache_takes_what_is_known_per_token(name, kib_per_token):
    assert presets.PRESETS[name]().cache_bytes(1) == kib_per_token * 1024


@pytest.mark.parametrize("name", sorted(published_long_ropes()))
def test_long_contexts_carry_the_published_factors(name):
    architecture = presets.PRESETS[name]()
    mixer = architecture.layers[0].mixer
    assert isinstance(mixer, Attention)
    assert mixer.rope is not None
    long_rope = mixer.rope.long_rope
    assert long_rope == published_long_ropes()[name]
    assert len(long_rope.long_factor) == mixer.rope.rotary_dim(mixer.head_dim) // 2
    assert list(long_rope.long_factor) == sorted(long_rope.long_factor)
    # 131072 tokens from 4096: sqrt(1 + ln 32 / ln 4096), or the two numbers of Phi-3.5-MoE
    expected = 1.243163121016122 if name == "phi_3_5_moe" else 1.1902380714238083
    for tokens in (4096, 4097):
        found = long_rope.attention_factor(tokens, architecture.max_position_embeddings)
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_published_window_of_phi_3_mini_can_be_had():
    windowed = presets.phi_3_mini(sliding_window=2047)
    assert windowed.layers[0].mixer.sliding_window == 2047
    assert windowed.num_params == presets.phi_3_mini().num_params


@pytest.mark.parametrize(
    ("make", "width", "depth", "head_dim"),
    [
        (presets.scaled_llama, 64, 5, 32),
        (presets.scaled_llama, 288, 6, 32),
        (presets.scaled_llama, 768, 12, 64),
        (presets.scaled_llama, 2048, 16, 64),
        (presets.scaled_phi3, 3072, 32, 96),
        (presets.scaled_phi3, 256, 5, 64),
    ],
)
def test_scaled_shapes_pass_through_the_published_ones(make, width, depth, head_dim):
    architecture = make(width, vocab_size=4096, context_tokens=512, quantization="Q8_0")
    assert architecture.num_hidden_layers == depth
    assert architecture.layers[0].mixer.head_dim == head_dim
    assert architecture.quantization == "Q8_0"
    assert architecture.max_position_embeddings == 512


@pytest.mark.parametrize("make", [presets.scaled_llama, presets.scaled_phi3])
def test_scaled_shapes_grow_with_their_width(make):
    sizes = [
        make(width, vocab_size=999, context_tokens=64).num_non_embedding_params
        for width in range(32, 6000, 32)
    ]
    assert sizes == sorted(sizes)


def test_a_scaled_phi3_at_full_width_is_phi_3_mini():
    scaled = presets.scaled_phi3(3072, vocab_size=32064, context_tokens=4096)
    assert scaled == presets.phi_3_mini()

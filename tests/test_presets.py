"""Published architectures to the last parameter, and hand-drawn shapes between them."""

import pytest

from archsmith import presets

# Parameters of the published weights.
_PUBLISHED = {
    "phi_1": 1_418_270_720,
    "phi_1_5": 1_418_270_720,
    "phi_2": 2_779_683_840,
    "phi_3_mini": 3_821_079_552,
    "phi_3_medium": 13_960_238_080,
    "phi_4": 14_659_507_200,
    "llama_3_2_1b": 1_235_814_400,
    "qwen3_0_6b": 596_049_920,
}
_CLASSES = {
    "phi_1": "Phi",
    "phi_1_5": "Phi",
    "phi_2": "Phi",
    "phi_3_mini": "Phi3",
    "phi_3_medium": "Phi3",
    "phi_4": "Phi3",
    "llama_3_2_1b": "Llama",
    "qwen3_0_6b": "Qwen3",
}


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_parameters_match_the_published_weights(name):
    assert presets.PRESETS[name]().num_params == _PUBLISHED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_parameters_match_the_stock_class_on_the_meta_device(name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    architecture = presets.PRESETS[name]()
    mixer = architecture.layers[0].mixer
    config = getattr(transformers, f"{_CLASSES[name]}Config")(
        hidden_size=architecture.hidden_size,
        num_hidden_layers=architecture.num_hidden_layers,
        num_attention_heads=mixer.num_attention_heads,
        num_key_value_heads=mixer.num_key_value_heads,
        head_dim=mixer.head_dim,
        intermediate_size=architecture.layers[0].feed_forward.intermediate_size,
        vocab_size=architecture.vocab_size,
        tie_word_embeddings=architecture.tie_word_embeddings,
        pad_token_id=0,
    )
    with torch.device("meta"):
        model = getattr(transformers, f"{_CLASSES[name]}ForCausalLM")(config)
    model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == architecture.num_params


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

"""One line per architecture: what varies between layers, and what of experts is used."""

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.presets import phi_3_5_moe, phi_3_small, scaled_llama

PLAIN = scaled_llama(256, vocab_size=999, context_tokens=64)


def with_layers(*layers):
    return PLAIN.model_copy(update={"layers": layers})


def changed(**mixer):
    layer = PLAIN.layers[0]
    return layer.model_copy(update={"mixer": layer.mixer.model_copy(update=mixer)})


def test_equal_layers_are_said_once():
    assert PLAIN.summary() == "6x256 · 4h/4kv · ffn 672 · vocab 999 tied · 4.93M · F16"


def test_windows_and_missing_positions_are_counted():
    window, nope = changed(sliding_window=16), changed(rope=None)
    text = with_layers(nope, window, window, window).summary()
    assert "4h/4kv NoPE in 1 of 4 window 16 in 3 of 4 · " in text
    assert "4h/4kv window 16 · " in with_layers(window, window).summary()


def test_published_patterns():
    assert "block-sparse in 16 of 32" in phi_3_small().summary()
    assert "2 of 16 experts x 6400" in phi_3_5_moe().summary()
    assert "41.9B (6.64B active)" in phi_3_5_moe().summary()


def test_shared_and_mixed_experts():
    block = MixtureOfExperts(
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=64,
    )
    assert block.active_intermediate_size == 128
    layer = Layer(
        mixer=Attention(num_attention_heads=4, num_key_value_heads=4, head_dim=64),
        feed_forward=block,
    )
    assert "· 2 of 4 experts x 32 + 64 shared ·" in with_layers(layer).summary()
    assert "· mixed experts ·" in with_layers(layer, PLAIN.layers[0]).summary()
    assert isinstance(with_layers(layer), Architecture)

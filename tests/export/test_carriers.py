import pytest
from export_helpers import (
    CARRIED,
    LAYER_NORM,
    granite_swa,
    llama,
    make,
    phi,
    phi3,
    qwen3,
    starcoder2,
)

from archsmith.errors import ConfigError, ExportError
from archsmith.export.carriers import carrier_of, find_carrier, unsupported


@pytest.mark.parametrize("name", CARRIED)
def test_each_family_has_its_carrier(name):
    architecture = CARRIED[name]()
    assert find_carrier(architecture).name == name.removesuffix(" with biases")
    assert unsupported(architecture) == []


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (llama(feed_forward={"activation": "gelu_tanh"}), "activation must be 'silu'"),
        (llama(feed_forward={"type": "mlp"}), "feed_forward must be"),
        (llama(heads=5, kv=5), "num_attention_heads must divide hidden_size, got 5 and 48"),
        (llama(lm_head_bias=True), "lm_head_bias must be false"),
        (llama(final_norm={"eps": 1e-6}), "final_norm must equal the layers' norm"),
        (llama(layer={"residual": "parallel"}), "residual must be"),
        (qwen3(mixer={"qk_norm": True, "output_bias": True}), "output_bias must be false"),
        (phi(tie_word_embeddings=True), "tie_word_embeddings must be false"),
        (phi(head_dim=16), "head_dim must be hidden_size / num_attention_heads"),
        (phi3(mixer={"rope": {"partial_rotary_factor": 0.6}}), "rotates 7 of 12 features"),
        (
            phi3(mixer={"sliding_window": 8, "rope": {"partial_rotary_factor": 0.5}}),
            "sliding_window is not carried",
        ),
        (
            granite_swa(per_layer={0: {"sliding_window": 5}, 2: {"sliding_window": 6}}),
            "layers that have a sliding_window must have the same",
        ),
        (
            make(layer={"norm": LAYER_NORM}, final_norm=LAYER_NORM, feed_forward={"type": "mlp"}),
            "qkv_bias must be true",
        ),
    ],
)
def test_a_point_without_carrier_is_refused_with_the_reason(architecture, reason):
    assert find_carrier(architecture) is None
    assert any(reason in given for given in unsupported(architecture)), unsupported(architecture)
    with pytest.raises(ExportError, match="no stock model class holds"):
        carrier_of(architecture)


def test_layers_of_different_widths_are_refused():
    architecture = llama(per_layer={1: {"num_key_value_heads": 4}})
    (reason,) = unsupported(architecture)
    assert "per-layer widths have no uniform carrier" in reason


def test_reasons_are_those_of_the_nearest_carrier():
    (reason,) = unsupported(phi(tie_word_embeddings=True))
    assert reason.startswith("Phi: ")


def test_a_window_as_long_as_the_context_is_none():
    assert find_carrier(llama(mixer={"sliding_window": 64}, context=64)).name == "Llama"
    assert find_carrier(llama(mixer={"sliding_window": 63}, context=64)).name == "Granite-SWA"


def test_partial_rotary_without_layer_norm_goes_to_phi3():
    assert find_carrier(phi3(tie_word_embeddings=True)).name == "Phi-3"
    assert find_carrier(starcoder2(tie_word_embeddings=False)).name == "StarCoder2"


def test_unknown_targets_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'gguf'"):
        unsupported(llama(), ("ggul",))

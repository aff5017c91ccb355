import math

import pytest
from export_helpers import (
    CARRIED,
    LAYER_NORM,
    experts,
    granite_swa,
    llama,
    long_rope,
    make,
    mimo,
    mixtral,
    olmoe,
    padded_llama,
    padded_qwen3,
    phi,
    phi3,
    phi3_long,
    phimoe,
    qwen2_moe,
    qwen3,
    qwen3_moe,
    starcoder2,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.errors import ConfigError, ExportError
from archsmith.export.carrier_padded import frame_of
from archsmith.export.carrier_table import CARRIERS
from archsmith.export.carriers import TARGETS, carrier_of, find_carrier, unsupported


@pytest.mark.parametrize("name", CARRIED)
def test_each_family_has_its_carrier(name):
    architecture = CARRIED[name]()
    assert find_carrier(architecture).name == name.partition(" with ")[0]
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
        (padded_llama(layer={"norm": {"eps": 1e-6}}), "final_norm must equal"),
        (padded_llama(per_layer={1: {"num_attention_heads": 5, "num_key_value_heads": 5}}), "5]"),
        (padded_llama(per_layer={1: {"head_dim": 16}}), "layers must be alike in everything but"),
        (padded_llama(layer_at={1: {"feed_forward": experts()}}), "layers must be alike"),
        (mixtral(feed_forward=experts(norm_topk_prob=False)), "norm_topk_prob must be true"),
        (mixtral(mixer={"qkv_bias": True}), "qkv_bias must be false"),
        (mixtral(layer={"norm": LAYER_NORM}, final_norm=LAYER_NORM), "norm must be 'rms', got"),
        (mixtral(layer_at={1: {"feed_forward": experts(num_experts=6)}}), "must be alike"),
        (qwen2_moe(feed_forward=experts()), "a shared expert must be present"),
        (olmoe(mixer={"qk_norm": True}), "qk_norm_over must be 'all_heads', got 'head'"),
        (mimo(mixer={"qkv_bias": True}), "qkv_bias must be false"),
        (mimo(heads=6, kv=6, head_dim=8), "twice the number of the others must divide"),
        (
            mimo(layer_at={1: {"feed_forward": experts()}}),
            "router must be 'sigmoid' and norm_topk_prob true",
        ),
        (
            phi3_long(
                mixer={
                    "rope": {
                        "partial_rotary_factor": 0.5,
                        "long_rope": long_rope(3, short_attention_factor=1.1),
                    }
                }
            ),
            "short_attention_factor and long_attention_factor must be equal, got 1.1 and None",
        ),
        (
            llama(mixer={"type": "block_sparse_attention"}),
            "the block 'block_sparse_attention' has no carrier",
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


@pytest.mark.parametrize(
    ("architecture", "target", "reason"),
    [
        (phimoe(), "gguf", "llama.cpp's phimoe computes RMSNorm and a softmax router"),
        (
            qwen3_moe(feed_forward=experts(norm_topk_prob=False)),
            "gguf",
            "norm_topk_prob must be true in llama.cpp",
        ),
        (qwen2_moe(tie_word_embeddings=True), "gguf", "tie_word_embeddings must be false"),
        (llama(mixer={"rope": None}), "gguf", "a layer at least must have rope"),
        (olmoe(kv=2), "gguf", "num_key_value_heads must equal num_attention_heads"),
        (mimo(tie_word_embeddings=True), "gguf", "tie_word_embeddings must be false"),
        (padded_qwen3(tie_word_embeddings=False), "gguf", "whose openelm has no other head"),
        (
            phi3_long(
                mixer={"rope": {"partial_rotary_factor": 0.5, "long_rope": long_rope(3, 200)}}
            ),
            "gguf",
            "must be at least 256, got 200",
        ),
        (
            padded_llama(heads=5, kv=5, per_layer={1: {"num_attention_heads": 10}}),
            "huggingface",
            "num_attention_heads [5, 10] and num_key_value_heads [5]",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_target_may_hold_what_the_other_cannot(architecture, target, reason):
    other = next(name for name in TARGETS if name != target)
    assert unsupported(architecture, (other,)) == []
    assert find_carrier(architecture, (other,)) is not None
    assert any(reason in given for given in unsupported(architecture, (target,)))
    assert any(given.startswith(f"{target}: ") for given in unsupported(architecture))
    assert find_carrier(architecture) is None
    with pytest.raises(ExportError, match="no stock model class holds"):
        carrier_of(architecture, (target,))


def test_forms_of_two_rows_make_one_carrier(monkeypatch):
    # Llama's folder and Padded Llama's file are each exact
    without = CARRIERS["Llama"]._replace(gguf=None, absent="not today")
    monkeypatch.setitem(CARRIERS, "Llama", without)
    other = CARRIERS["Padded Llama"]._replace(huggingface=None, absent="not today")
    monkeypatch.setitem(CARRIERS, "Padded Llama", other)
    architecture = llama(head_dim=16)
    found = find_carrier(architecture)
    assert found.name == "Llama and Padded Llama"
    assert found.huggingface == without.huggingface
    assert found.gguf.architecture == "deci"
    assert find_carrier(architecture, ("huggingface",)) is without


@given(
    hidden_size=st.sampled_from([48, 60, 64]),
    heads=st.lists(
        st.sampled_from([(1, 1), (2, 1), (2, 2), (3, 1), (4, 2), (6, 3)]), min_size=1, max_size=4
    ),
)
@settings(max_examples=60, deadline=None)
def test_a_frame_has_room_for_every_layer(hidden_size, heads):
    per_layer = {
        index: {"num_attention_heads": queries, "num_key_value_heads": keys}
        for index, (queries, keys) in enumerate(heads)
    }
    architecture = llama(hidden_size=hidden_size, layers=len(heads), per_layer=per_layer)
    frame = frame_of(architecture, heads_divide_width=True)
    possible = [
        queries
        for queries in range(1, hidden_size + 1)
        if hidden_size % queries == 0
        and queries >= max(q for q, _ in heads)
        and queries % math.lcm(*(k for _, k in heads)) == 0
    ]
    assert (frame is None) == (not possible)
    if frame is not None:
        assert frame.num_attention_heads == possible[0]
        assert all(frame.num_key_value_heads % keys == 0 for _, keys in heads)


def test_limits_are_told():
    (limit,) = carrier_of(phi3_long()).limits(phi3_long())
    assert "context of at most 256 tokens" in limit
    assert carrier_of(llama()).limits(llama()) == []
    rope = {"long_rope": long_rope(6)}
    biased = {"qkv_bias": True, "output_bias": True}
    architecture = phimoe(mixer={**biased, "rope": rope}, context=1024)
    (limit,) = carrier_of(architecture, ("huggingface",)).limits(architecture)
    assert "for texts of at most 256 tokens" in limit


def test_long_rope_of_equal_factors_has_no_switch():
    # Llama 3.1's scaling in these terms
    factors = {"short_factor": [2.0] * 3, "long_factor": [2.0] * 3}
    rope = {"partial_rotary_factor": 0.5, "long_rope": long_rope(3, 64, **factors)}
    architecture = phi3_long(mixer={"rope": rope})
    assert unsupported(architecture) == []
    assert carrier_of(architecture).limits(architecture) == []


def test_reasons_are_those_of_the_nearest_carrier():
    (reason,) = unsupported(phi(tie_word_embeddings=True))
    assert reason.startswith("Phi: ")


def test_windows_with_partial_rotary_go_to_mimo():
    mixer = {"sliding_window": 8, "rope": {"partial_rotary_factor": 0.5}}
    assert find_carrier(phi3(mixer=mixer)).name == "MiMo-V2-Flash"


def test_what_no_carrier_holds_is_not_said_of_one():
    reasons = unsupported(llama(mixer={"type": "block_sparse_attention"}))
    assert reasons == ["the block 'block_sparse_attention' has no carrier"]


def test_experts_are_compared_with_carriers_of_experts():
    reasons = unsupported(mixtral(mixer={"qkv_bias": True}))
    assert reasons == ["Mixtral: qkv_bias must be false"]


def test_a_window_as_long_as_the_context_is_none():
    assert find_carrier(llama(mixer={"sliding_window": 64}, context=64)).name == "Llama"
    assert find_carrier(llama(mixer={"sliding_window": 63}, context=64)).name == "Granite-SWA"


def test_partial_rotary_without_layer_norm_goes_to_phi3():
    assert find_carrier(phi3(tie_word_embeddings=True)).name == "Phi-3"
    assert find_carrier(starcoder2(tie_word_embeddings=False)).name == "StarCoder2"


def test_unknown_targets_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'gguf'"):
        unsupported(llama(), ("ggul",))

"""Features: what tells experts and windows from dense networks that see everything."""

import math

import pytest

from archsmith.presets import phi_3_5_moe, phi_3_small, scaled_llama
from archsmith.space import presets
from archsmith.space.features import features

PLAIN = scaled_llama(128, vocab_size=512, context_tokens=64)


def test_a_plain_network_sees_all_with_all_it_has():
    found = features(PLAIN)
    assert found["seen_share"] == 1.0
    assert found["log_active_share"] == 0.0
    assert found["log_num_experts"] == found["log_granularity"] == found["nope_share"] == 0.0


def test_experts_show_their_number_grain_and_share():
    model = phi_3_5_moe()
    found = features(model)
    tables = 2 * 32_064 * 4096 / 1e9  # in billions: the law of size counts no embeddings
    share = (6.641 - tables) / (41.873 - tables)
    assert math.exp(found["log_active_share"]) == pytest.approx(share, abs=1e-4)
    assert math.exp(found["log_num_experts"]) == pytest.approx(16)
    assert math.exp(found["log_granularity"]) == pytest.approx(2)
    assert math.exp(found["log_intermediate_ratio"]) == pytest.approx(2 * 6400 / 4096)
    assert found["is_shared_expert"] == 0.0


def test_windows_and_block_sparse_layers_show_what_they_see():
    assert 0.5 < features(phi_3_small())["seen_share"] < 1.0
    layer = PLAIN.layers[0]
    mixers = [{"sliding_window": 8}, {"rope": None}]
    layers = tuple(
        layer.model_copy(update={"mixer": layer.mixer.model_copy(update=change)})
        for change in mixers
    )
    found = features(PLAIN.model_copy(update={"layers": layers}))
    seen = (8 * 9 / 2 + 56 * 8) / (64 * 65 / 2)
    assert found["seen_share"] == pytest.approx((1 + seen) / 2, abs=1e-3)
    assert found["nope_share"] == 0.5


def test_a_shared_expert_is_a_finer_grain():
    space = presets.tiny(families=("qwen2_moe",), hidden_sizes=(64,), num_shared_experts=(2,))
    point = next(iter(space.points()))
    found, block = features(point), point.layers[0].feed_forward
    assert found["is_shared_expert"] == 1.0
    assert math.exp(found["log_granularity"]) == pytest.approx(block.num_experts_per_tok + 2)

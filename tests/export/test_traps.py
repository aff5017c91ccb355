"""Files that load without a word and compute something else: the gate refuses each of them.

Every test lets the carrier table make a known mistake and writes the files with it.
"""

import pytest
from export_helpers import (
    experts,
    granite_swa_with_multipliers,
    llama,
    long_rope,
    make_tokenizer,
    mimo,
    padded_llama,
    padded_qwen3,
    phi3,
    phi3_long,
    phimoe,
    qwen2_moe,
    qwen3_moe,
    random_weights,
)

from archsmith.errors import GateError
from archsmith.export import carriers, gate
from archsmith.export.carrier_expert_forms import experts_keys, plain_experts
from archsmith.export.carrier_forms import llama_config, phi3_config, phi3_keys
from archsmith.export.carrier_table import CARRIERS
from archsmith.export.carrier_tensors import llama_huggingface
from archsmith.export.carriers import GgufForm
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate import check_export
from archsmith.export.gate_windows import window_groups
from archsmith.export.tensors import TensorPlan

SOMETHING_ELSE = "computes something else"


@pytest.fixture
def passes(monkeypatch, tmp_path, in_process):
    """A function that writes an architecture with a row that refuses nothing, and runs the gate."""

    def check(architecture, row, *, weights=None):
        def anything(architecture, kinds):
            return []

        row = row._replace(
            refusals=anything,
            huggingface=row.huggingface._replace(refusals=anything),
            gguf=row.gguf._replace(refusals=anything),
        )
        monkeypatch.setattr(carriers, "_table", lambda: {row.name: row})
        weights = random_weights(architecture) if weights is None else weights
        tokenizer = make_tokenizer(architecture.vocab_size)
        HUGGINGFACE.write(
            tmp_path / "hf",
            weights=weights,
            architecture=architecture,
            tokenizer=tokenizer,
            metadata={},
            overwrite=True,
        )
        return check_export(
            architecture=architecture,
            weights=weights,
            tokenizer=tokenizer,
            huggingface=tmp_path / "hf",
            gguf=[],
        )

    return check


def with_config(row, **entries):
    """The row with other entries in config.json."""
    plain = row.huggingface.config
    form = row.huggingface._replace(config=lambda architecture: {**plain(architecture), **entries})
    return row._replace(huggingface=form)


def with_keys(row, change):
    """The row with GGUF keys changed by a function of keys and architecture."""
    plain = row.gguf.keys
    form = row.gguf._replace(keys=lambda architecture: change(plain(architecture), architecture))
    return row._replace(gguf=form)


def test_gelu_in_a_llama_file(passes):
    architecture = llama(feed_forward={"activation": "gelu_tanh"})
    row = with_config(CARRIERS["Llama"], hidden_act="gelu_pytorch_tanh")
    with pytest.raises(GateError, match=rf"llama\.cpp \(llama\) {SOMETHING_ELSE}"):
        passes(architecture, row)


def test_a_deci_layer_without_feed_forward(passes):
    # its down projection is zero, so that leaving the block out would seem to change nothing
    architecture = padded_llama()
    weights = random_weights(architecture)
    weights["model.layers.1.mlp.down_proj.weight"][:] = 0
    row = CARRIERS["Padded Llama"]
    assert passes(architecture, row, weights=weights).runtime_kl_nats < 1e-9
    plain = row.gguf.layer

    def layer(layer, hidden_size):
        left_out = layer == architecture.layers[1]
        return [
            plan
            for plan in plain(layer, hidden_size)
            if not (left_out and plan.name.startswith("ffn_"))
        ]

    def keys(keys, architecture):
        first, _, last = keys["feed_forward_length"]
        return {**keys, "feed_forward_length": (first, 0, last)}

    row = with_keys(row._replace(gguf=row.gguf._replace(layer=layer)), keys)
    with pytest.raises(GateError, match=rf"llama\.cpp \(deci\) {SOMETHING_ELSE}"):
        passes(architecture, row, weights=weights)


def test_qwen3moe_without_division_by_the_sum(passes):
    architecture = qwen3_moe(feed_forward=experts(norm_topk_prob=False))
    with pytest.raises(GateError, match=rf"llama\.cpp \(qwen3moe\) {SOMETHING_ELSE}"):
        passes(architecture, CARRIERS["Qwen3-MoE"])


def test_qwen2moe_with_division_by_the_sum(passes):
    feed_forward = experts(shared_expert_intermediate_size=96, shared_expert_gate=True)
    architecture = qwen2_moe(feed_forward=feed_forward)
    with pytest.raises(GateError, match=rf"llama\.cpp \(qwen2moe\) {SOMETHING_ELSE}"):
        passes(architecture, CARRIERS["Qwen2-MoE"])


def test_a_window_in_phi3(passes):
    mixer = {"sliding_window": 8, "rope": {"partial_rotary_factor": 0.5}}
    row = with_config(CARRIERS["Phi-3"], sliding_window=8)
    row = with_keys(row, lambda keys, architecture: {**keys, "attention.sliding_window": 8})
    with pytest.raises(GateError, match=rf"llama\.cpp \(phi3\) {SOMETHING_ELSE}"):
        passes(phi3(mixer=mixer), row)


def test_phimoe_in_llamacpp(passes):
    def keys(architecture):
        eps = {"attention.layer_norm_rms_epsilon": architecture.final_norm.eps}
        return {**experts_keys(architecture), **eps}

    row = CARRIERS["PhiMoE"]._replace(gguf=GgufForm("phimoe", keys=keys, layer=plain_experts))
    with pytest.raises(GateError, match=rf"llama\.cpp \(phimoe\) {SOMETHING_ELSE}"):
        passes(phimoe(), row)


def test_long_rope_in_a_context_beyond_the_switch(passes, monkeypatch):
    def one_group(*args, **options):
        return [[window for group in window_groups(*args, **options) for window in group]]

    monkeypatch.setattr(gate, "window_groups", one_group)
    with pytest.raises(GateError, match=rf"llama\.cpp \(phi3\) {SOMETHING_ELSE}.* of window 0"):
        passes(phi3_long(), CARRIERS["Phi-3"])


def test_long_rope_whose_switch_no_context_is_below(passes):
    rope = {"partial_rotary_factor": 0.5, "long_rope": long_rope(3, original=200)}
    with pytest.raises(GateError, match=rf"llama\.cpp \(phi3\) {SOMETHING_ELSE}.* of window 0"):
        passes(phi3_long(mixer={"rope": rope}), CARRIERS["Phi-3"])


def test_long_rope_without_its_long_factors(passes):
    # past the switch alone, which only the second group of windows reaches
    form = CARRIERS["Phi-3"].gguf

    def constants(architecture):
        long, short = form.constants(architecture)
        return [short._replace(name=long.name), short]

    row = CARRIERS["Phi-3"]._replace(gguf=form._replace(constants=constants))
    with pytest.raises(GateError, match=rf"llama\.cpp \(phi3\) {SOMETHING_ELSE}.* of window 1"):
        passes(phi3_long(), row)


def test_long_rope_without_its_attention_factor(passes):
    def keys(keys, architecture):
        return {key: value for key, value in keys.items() if key != "rope.scaling.attn_factor"}

    with pytest.raises(GateError, match=rf"llama\.cpp \(phi3\) {SOMETHING_ELSE}"):
        passes(phi3_long(), with_keys(CARRIERS["Phi-3"], keys))


def test_per_layer_config_is_no_modelling_code(passes):
    row = CARRIERS["Padded Llama"]
    architecture = padded_llama()

    def config(architecture):
        per_layer = {
            str(index): {
                "num_attention_heads": layer.mixer.num_attention_heads,
                "num_key_value_heads": layer.mixer.num_key_value_heads,
                "intermediate_size": layer.feed_forward.intermediate_size,
            }
            for index, layer in enumerate(architecture.layers)
        }
        return {
            **llama_config(architecture),
            "per_layer_config": per_layer,
            "allow_global_per_layer_attribute_access": True,
        }

    row = row._replace(huggingface=row.huggingface._replace(config=config, layer=llama_huggingface))
    with pytest.raises(GateError, match="transformers cannot load"):
        passes(architecture, row)


def test_per_layer_config_without_another_shape_is_not_seen_at_all(passes):
    # the window of one layer changes no tensor: a uniform model loads and says nothing
    architecture = phi3(mixer={"rope": {}}, per_layer={1: {"sliding_window": 8}})
    row = CARRIERS["Granite-SWA"]._replace(
        huggingface=CARRIERS["Phi-3"].huggingface._replace(
            config=lambda architecture: {
                **phi3_config(architecture),
                "per_layer_config": {"1": {"sliding_window": 8}},
                "allow_global_per_layer_attribute_access": True,
            }
        )
    )
    with pytest.raises(GateError, match=rf"llama\.cpp \(granite_swa\) {SOMETHING_ELSE}"):
        passes(architecture, row)


def test_a_bias_in_mimo2(passes):
    architecture = mimo(mixer={"qkv_bias": True, "rope": {"partial_rotary_factor": 0.5}})
    row = with_config(CARRIERS["MiMo-V2-Flash"], attention_bias=True)
    with pytest.raises(GateError, match=r"llama\.cpp"):
        passes(architecture, row)


@pytest.mark.parametrize(
    ("key", "value"),
    [("logit_scale", 1 / 2.5), ("embedding_scale", 1 / 3.0), ("residual_scale", 1 / 0.4)],
)
def test_a_multiplier_the_wrong_way_round(passes, key, value):
    row = with_keys(CARRIERS["Granite-SWA"], lambda keys, architecture: {**keys, key: value})
    with pytest.raises(GateError, match=rf"llama\.cpp \(granite_swa\) {SOMETHING_ELSE}"):
        passes(granite_swa_with_multipliers(), row)


def test_an_untied_head_beside_openelm(passes):
    # llama.cpp never reads the head and takes the embedding for it
    with pytest.raises(GateError, match=r"llama\.cpp"):
        passes(padded_qwen3(tie_word_embeddings=False), CARRIERS["Padded Qwen3"])


def test_key_value_heads_repeated_in_another_order(passes):
    row = CARRIERS["Padded Llama"]
    plain = row.huggingface.layer

    def layer(layer, architecture):
        plans = []
        for plan in plain(layer, architecture):
            if plan.name.startswith("self_attn.k_proj") and plan.stretches:
                whole = plan.stretches[0]._replace(groups=1)
                plan = plan._replace(stretches=(whole,))
            plans.append(plan)
        return plans

    row = row._replace(huggingface=row.huggingface._replace(layer=layer))
    architecture = padded_llama(per_layer={1: {"num_attention_heads": 4, "num_key_value_heads": 4}})
    with pytest.raises(GateError, match=SOMETHING_ELSE):
        passes(architecture, row)


def test_experts_in_another_order(passes):
    row = CARRIERS["Qwen3-MoE"]
    plain = row.huggingface.layer

    def layer(layer, architecture):
        return [
            plan._replace(expert=4 - plan.expert) if isinstance(plan.expert, int) else plan
            for plan in plain(layer, architecture)
        ]

    row = row._replace(huggingface=row.huggingface._replace(layer=layer))
    with pytest.raises(GateError, match=SOMETHING_ELSE):
        passes(qwen3_moe(), row)


def test_a_trap_is_no_trap_without_the_mistake(passes):
    # the harness itself passes what is right
    assert passes(llama(), CARRIERS["Llama"]).runtime_kl_nats < 1e-9
    assert isinstance(CARRIERS["Llama"].gguf.layer(llama().layers[0], 48)[0], TensorPlan)
    assert "rope.scaling.original_context_length" in phi3_keys(phi3())

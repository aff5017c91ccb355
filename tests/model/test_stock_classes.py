"""The same weights in transformers' own classes give the same logits."""

import pytest
import torch
from drawn_architectures import small

from archsmith.model.generation import generate
from archsmith.model.transformer import build, to_numpy

transformers = pytest.importorskip("transformers")

TINY = {
    "hidden_size": 32,
    "vocab_size": 53,
    "max_position_embeddings": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
}


def load(architecture, stock, *, rename=lambda name: name):
    """A model with random weights, which `stock` has then too."""
    model = build(architecture, seed=4)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    state = {rename(name): torch.from_numpy(array) for name, array in to_numpy(model).items()}
    if architecture.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    stock.load_state_dict(fuse(state, stock.state_dict()), strict=True)
    return model


def fuse(state, wanted):
    """Join projections where the stock class has them in one matrix, as Phi3 has."""
    fused = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
    for name in wanted:
        for whole, parts in fused.items():
            if whole in name:
                state[name] = torch.cat([state.pop(name.replace(whole, part)) for part in parts])
    return state


def compare(architecture, stock, *, rename=lambda name: name, num_tokens=23):
    """Load `architecture`'s random weights into `stock`; return the largest logit difference."""
    model = load(architecture, stock, rename=rename)
    tokens = torch.randint(53, (2, num_tokens))
    with torch.no_grad():
        difference = (model(tokens) - stock.eval()(input_ids=tokens).logits).abs().max()
    return float(difference)


@pytest.mark.parametrize("tied", [True, False])
def test_llama(tied):
    config = transformers.LlamaConfig(
        **TINY, head_dim=8, rms_norm_eps=1e-5, tie_word_embeddings=tied, attention_bias=True
    )
    architecture = small(tie_word_embeddings=tied, qkv_bias=True, output_bias=True)
    assert compare(architecture, transformers.LlamaForCausalLM(config)) < 2e-5


def test_mistral_with_a_sliding_window():
    config = transformers.MistralConfig(**TINY, head_dim=8, rms_norm_eps=1e-5, sliding_window=5)
    architecture = small(tie_word_embeddings=False, sliding_window=5)
    assert compare(architecture, transformers.MistralForCausalLM(config)) < 2e-5


def test_qwen3_with_normalized_heads():
    config = transformers.Qwen3Config(
        **TINY, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=True
    )
    norm = {"type": "rms", "eps": 1e-6}
    architecture = small(qk_norm=True, head_dim=12, norm=norm, final_norm=norm)
    assert compare(architecture, transformers.Qwen3ForCausalLM(config)) < 2e-5


def test_phi_with_parallel_residual_and_partial_rotary():
    config = transformers.PhiConfig(
        **{**TINY, "num_key_value_heads": 4},
        hidden_act="gelu_new",
        partial_rotary_factor=0.5,
        layer_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    architecture = small(
        num_key_value_heads=4,
        rope={"partial_rotary_factor": 0.5},
        qkv_bias=True,
        output_bias=True,
        feed_forward={"type": "mlp", "intermediate_size": 40, "activation": "gelu_tanh"},
        norm={"type": "layer"},
        final_norm={"type": "layer"},
        residual="parallel",
        tie_word_embeddings=False,
        lm_head_bias=True,
    )

    def rename(name):
        name = name.replace("self_attn.o_proj", "self_attn.dense")
        return name.replace("model.norm.", "model.final_layernorm.")

    assert compare(architecture, transformers.PhiForCausalLM(config), rename=rename) < 2e-5


def test_granite_with_its_multipliers():
    multipliers = {
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "attention_multiplier": 0.1,
        "logits_scaling": 3.0,
    }
    config = transformers.GraniteConfig(
        **TINY, **multipliers, rms_norm_eps=1e-5, tie_word_embeddings=True
    )
    assert compare(small(**multipliers), transformers.GraniteForCausalLM(config)) < 2e-5


@pytest.fixture(scope="module")
def phi3_pair():
    """Phi3 with LongRoPE on part of each head, trained for 12 tokens and stretched to 64."""
    factors = {"short_factor": [1.0, 1.1, 1.4], "long_factor": [1.2, 3.0, 8.0]}
    config = transformers.Phi3Config(
        **TINY,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        sliding_window=None,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        original_max_position_embeddings=12,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 12,
            **factors,
        },
    )
    long_rope = {"original_max_position_embeddings": 12, **factors}
    architecture = small(
        rope={"theta": 100.0, "partial_rotary_factor": 0.75, "long_rope": long_rope},
        tie_word_embeddings=False,
    )
    stock = transformers.Phi3ForCausalLM(config)
    return load(architecture, stock), stock.eval()


@pytest.mark.parametrize("num_tokens", [11, 12, 13, 30])
def test_phi3_below_and_beyond_its_first_context(phi3_pair, num_tokens):
    model, stock = phi3_pair
    tokens = torch.randint(53, (2, num_tokens), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        difference = (model(tokens) - stock(input_ids=tokens).logits).abs().max()
    assert difference < 2e-5


def test_phi3_writes_past_the_switch_as_transformers_does(phi3_pair):
    model, stock = phi3_pair
    tokens = torch.randint(53, (2, 7), generator=torch.Generator().manual_seed(6))
    expected = stock.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=20, do_sample=False
    )
    assert torch.equal(generate(model, tokens, max_new_tokens=20), expected[:, 7:])

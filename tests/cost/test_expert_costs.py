"""Costs of experts and patterns: counts against built modules, active against a dense equal."""

import random

import pytest

from archsmith import registry
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.cost.base import CostContext, static_metrics
from archsmith.presets import scaled_llama
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary

_FAMILIES = registry.names("families")


@pytest.mark.parametrize("name", _FAMILIES)
def test_every_family_has_the_parameters_of_its_built_module(name):
    torch = pytest.importorskip("torch")
    from archsmith.model.transformer import Transformer

    space, rng = presets.tiny(families=(name,)), random.Random(0)
    for _ in range(2):
        architecture = space.sample(rng)
        with torch.device("meta"):
            model = Transformer(architecture)
        built = {weight: weight.numel() for weight in model.parameters()}
        assert sum(built.values()) == architecture.num_params


def network(block):
    plain = scaled_llama(128, vocab_size=512, context_tokens=64, quantization="Q8_0")
    layer = plain.layers[0].model_copy(update={"feed_forward": block})
    return plain.model_copy(update={"layers": (layer,) * 2})


SPARSE = network(
    MixtureOfExperts(
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=64,
        shared_expert_intermediate_size=128,
        shared_expert_gate=True,
    )
)
DENSE = network(GatedMlp(intermediate_size=2 * 64 + 128))


def metrics(architecture):
    return static_metrics(architecture, CostContext())


def test_one_token_costs_what_a_dense_block_of_the_active_width_costs():
    router = 2 * 128 * (8 + 1)  # of two layers: 8 experts, and the gate of the shared one
    assert metrics(SPARSE)["num_active_params"] == metrics(DENSE)["num_params"] + router
    assert metrics(SPARSE)["flops_per_token"] == metrics(DENSE)["flops_per_token"] + 2 * router
    assert metrics(SPARSE)["cache_bytes"] == metrics(DENSE)["cache_bytes"]


def test_all_experts_count_where_all_are_kept():
    idle = 2 * 6 * 3 * 128 * 64
    found = metrics(SPARSE)
    assert found["num_params"] == found["num_active_params"] + idle
    assert found["num_non_embedding_params"] == found["num_params"] - 512 * 128


def test_a_file_holds_all_experts_at_the_bits_of_its_quantization():
    space = presets.tiny(families=("mixtral",), quantizations=("Q8_0",), depths=(2,))
    few, many = (
        next(iter(space.restrict(num_experts=[n], num_experts_per_tok=[2]).points()))
        for n in (4, 8)
    )
    if "file_bytes" not in metrics(few):
        pytest.skip("no GGUF file holds experts here")
    grown = few.layers[0].feed_forward.expert_params(few.hidden_size) * 4 * 2 * 8.5 / 8
    routers = 2 * 4 * few.hidden_size * 4  # kept in float32
    added = metrics(many)["file_bytes"] - metrics(few)["file_bytes"]
    assert added == pytest.approx(grown + routers, abs=64 * 2)
    assert metrics(many)["peak_memory_bytes"] - metrics(few)["peak_memory_bytes"] >= added


# As in test_static_metrics.py: growth of the resident set of a process that loads the file, fills
# its context and generates 8 tokens; llama.cpp b11549 on x86-64 with AVX2, one thread. Heads of 64,
# two per key-value head (one in olmoe); experts, used, shared; feed-forward ratio 8/3 or 2.
_MEASURED = [
    ("mixtral", 256, 6, 4096, 512, "Q8_0", 8, 2, 0, 8 / 3, 29_761_536),
    ("mixtral", 512, 6, 4096, 1024, "Q8_0", 8, 2, 0, 8 / 3, 78_979_072),
    ("mixtral", 512, 6, 4096, 1024, "Q4_0", 8, 2, 0, 8 / 3, 83_144_704),
    ("mixtral", 512, 4, 4096, 1024, "Q4_K_M", 8, 2, 0, 8 / 3, 56_262_656),
    ("mixtral", 512, 4, 4096, 1024, "Q4_K_M", 8, 2, 0, 2.0, 49_594_368),
    ("qwen3_moe", 512, 4, 8192, 1024, "Q4_0", 32, 4, 0, 8 / 3, 103_829_504),
    ("qwen2_moe", 256, 6, 8192, 1024, "Q8_0", 16, 4, 1, 8 / 3, 31_772_672),
    ("olmoe", 256, 6, 4096, 2048, "Q8_0", 64, 8, 0, 8 / 3, 62_554_112),
]


@pytest.mark.parametrize("row", _MEASURED)
def test_memory_is_within_ten_percent_of_what_llama_cpp_took(row):
    name, width, depth, vocab_size, tokens, quantization, experts, used, shared, ratio, took = row
    architecture = registry.find("families", name).build(
        {
            "hidden_size": width,
            "num_hidden_layers": depth,
            "head_dim": 64,
            "heads_per_kv_head": 1 if name == "olmoe" else 2,
            "intermediate_ratio": ratio,
            "vocabulary": Vocabulary(vocab_size, tokens),
            "tie_word_embeddings": name in ("mixtral", "qwen3_moe"),
            "rope_theta": 1e4,
            "quantization": quantization,
            "num_experts": experts,
            "num_experts_per_tok": used,
            **({"num_shared_experts": shared} if shared else {}),
        }
    )
    context = CostContext(tokenizer_bytes=lambda size: 18 * size + 500)
    assert 0.95 < static_metrics(architecture, context)["peak_memory_bytes"] / took < 1.10

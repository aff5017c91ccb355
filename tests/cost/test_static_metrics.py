"""What is known without running anything: exact counts, and memory within its stated error."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith import registry
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.rope import Rope
from archsmith.cost.base import CostContext, static_metrics
from archsmith.space.dimensions import Vocabulary
from archsmith.testing.cost import CostContract
from archsmith.trial import METRICS

# Growth of the resident set of a process that loads the file, reads a prompt that fills the
# context and generates 8 tokens; llama.cpp b11549 on x86-64 with AVX2, one thread.
_MEASURED = [
    ("llama", 256, 6, 64, 2, 4096, 512, "Q8_0", 19_111_936),
    ("llama", 256, 6, 64, 2, 4096, 2048, "Q8_0", 24_870_912),
    ("llama", 512, 8, 64, 1, 8192, 1024, "Q8_0", 64_356_352),
    ("llama", 512, 8, 64, 1, 32768, 1024, "Q4_0", 80_273_408),
    ("llama", 1024, 4, 64, 4, 4096, 4096, "Q4_0", 92_954_624),
    ("phi", 256, 6, 64, 1, 4096, 1024, "Q8_0", 23_613_440),
    ("llama", 64, 4, 32, 1, 512, 1024, "Q8_0", 10_506_240),
    ("llama", 512, 8, 64, 1, 8192, 1024, "Q4_K_M", 63_590_400),
]


def build(family, hidden_size, depth, head_dim, group, vocab_size, tokens, quantization):
    return registry.find("families", family).build(
        {
            "hidden_size": hidden_size,
            "num_hidden_layers": depth,
            "head_dim": head_dim,
            "heads_per_kv_head": group,
            "intermediate_ratio": 8 / 3,
            "vocabulary": Vocabulary(vocab_size, tokens),
            "tie_word_embeddings": family != "phi",
            "rope_theta": 1e4,
            "partial_rotary_factor": 0.5,
            "quantization": quantization,
        }
    )


@pytest.mark.parametrize("name", registry.names("cost"))
class TestEveryCostModel(CostContract):
    @pytest.fixture
    def model(self, name):
        return registry.find("cost", name)


@pytest.mark.parametrize("row", _MEASURED)
def test_memory_is_within_ten_percent_of_what_llama_cpp_took(row):
    *shape, measured = row
    # the files' tokens were short: about 18 bytes each with type and length
    context = CostContext(tokenizer_bytes=lambda vocab_size: 18 * vocab_size + 500)
    estimate = static_metrics(build(*shape), context)["peak_memory_bytes"]
    assert 0.95 < estimate / measured < 1.10


def test_memory_is_counted_at_the_context_asked_for():
    architecture = build("llama", 64, 2, 32, 1, 512, 512, "Q8_0")
    short = static_metrics(architecture, CostContext(context_length=256))
    long = static_metrics(architecture, CostContext(context_length=4096))
    assert short["cache_bytes"] == 256 * 2 * 2 * 64 * 2
    assert long["peak_memory_bytes"] > short["peak_memory_bytes"]
    assert short["context_length"] == long["context_length"] == 512


def test_every_metric_is_known_and_named_as_its_file():
    metrics = static_metrics(build("llama", 64, 2, 32, 1, 512, 512, "Q8_0"), CostContext())
    assert set(metrics) == set(registry.names("cost")) <= set(METRICS)


def test_a_network_without_a_gguf_file_has_no_file_size():
    plain = build("phi", 64, 2, 32, 1, 512, 512, "Q8_0")
    layer = plain.layers[0]
    window = Attention(
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        rope=Rope(partial_rotary_factor=0.5),
        qkv_bias=True,
        output_bias=True,
        sliding_window=16,
    )
    windowed = plain.model_copy(
        update={"layers": (layer.model_copy(update={"mixer": window}),) * 2}
    )
    metrics = static_metrics(windowed, CostContext())
    assert "num_params" in metrics
    assert "file_bytes" not in metrics
    assert "peak_memory_bytes" not in metrics


@settings(max_examples=20, deadline=None)
@given(depth=st.integers(1, 12), width=st.sampled_from([32, 64, 96, 256]))
def test_the_whole_is_embedding_and_rest(depth, width):
    architecture = build("llama", width, depth, 32, 1, 333, 48, "Q8_0")
    metrics = static_metrics(architecture, CostContext())
    assert metrics["num_params"] == metrics["num_non_embedding_params"] + 333 * width
    assert metrics["num_active_params"] == metrics["num_params"]
    assert math.isfinite(metrics["flops_per_token"])
